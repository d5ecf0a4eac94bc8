"""The demo page over HTTP: when it is there, what guards it, how it is cached, and what it never tells."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from app import errors
from app.errors import CloakroomError
from app.main import create_app
from app.web.demo.site import PAGE, load_assets
from tests.unit.settings.environments import PLANTED, load, problems

Client = TestClient[web.Request, web.Application]
Start = Callable[[web.Application], Awaitable[Client]]

_REPLICAS = "replica-a=http://127.0.0.1:8080,replica-b=https://b.voice.example"
_DEVELOPMENT = {
    "CLOAKROOM_ENVIRONMENT": "development",
    "CLOAKROOM_REDIS_URL": "memory://",
    "CLOAKROOM_REPLICA": "replica-a",
    "CLOAKROOM_DEMO_REPLICAS": _REPLICAS,
}


@pytest.fixture
async def client(aiohttp_client: Start) -> Client:
    return await aiohttp_client(create_app(load(**_DEVELOPMENT)))


def _has_demo(**settings: str) -> bool:
    router = create_app(load(**settings)).router
    return any(resource.canonical.startswith("/demo") for resource in router.resources())


def test_the_page_is_on_in_development_and_off_in_production_unless_a_setting_says_so() -> None:
    assert _has_demo(**_DEVELOPMENT)
    assert not _has_demo(**_DEVELOPMENT, CLOAKROOM_DEMO="false")
    assert not _has_demo()
    assert _has_demo(CLOAKROOM_DEMO="true")


@pytest.mark.parametrize("path", ["/", "/demo/"])
async def test_it_is_found_from_the_front_door(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 200
        assert answer.url.path == "/demo"
        assert "Start call" in await answer.text()


async def test_its_policy_allows_nothing_but_itself_and_the_replicas(client: Client) -> None:
    async with client.get("/demo") as answer:
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert policy[0] == "default-src 'none'"
    assert "connect-src 'self' http://127.0.0.1:8080 https://b.voice.example" in policy
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in " ".join(policy)
    assert "*" not in " ".join(policy)


async def test_every_file_that_the_page_names_is_served_with_its_type(client: Client) -> None:
    assets = load_assets()
    html = assets[PAGE].body.decode()
    named = set(re.findall(r'(?:src|href)="demo/([^"]+)"', html))
    for name, asset in assets.items():
        if name.endswith(".js"):
            named |= set(re.findall(r'from "\./([^"]+)"', asset.body.decode()))
    assert {"app.js", "cloakroom.js", "theme.css", "mark.svg"} <= named
    for name in named:
        async with client.get(f"/demo/{name}") as answer:
            assert answer.status == 200, name
            assert answer.content_type == assets[name].content_type
            assert await answer.read() == assets[name].body
    # And nothing lies there that no page needs.
    assert named == assets.keys() - {PAGE}


def test_nothing_in_it_is_inline_or_from_elsewhere() -> None:
    html = load_assets()[PAGE].body.decode()
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", html)
    for name, asset in load_assets().items():
        for url in re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"'`]*", asset.body.decode()):
            assert url.startswith("http://www.w3.org/"), f"{name}: {url}"


async def test_what_has_not_changed_is_not_sent_again(client: Client) -> None:
    for path in ("/demo", "/demo/app.js", "/demo/config.json"):
        async with client.get(path) as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
            tag = answer.headers["ETag"]
        async with client.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
            assert await answer.read() == b""
        async with client.get(path, headers={"If-None-Match": '"another"'}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "name", ["site.py", "..%2fsite.py", "%2e%2e%2fsite.py", "index.html", "static", "%00"]
)
async def test_no_other_file_can_be_named(client: Client, name: str) -> None:
    async with client.get(f"/demo/{name}") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not_found"


async def test_its_settings_hold_names_and_addresses_and_no_secret(client: Client) -> None:
    async with client.get("/demo/config.json") as answer:
        text, config = await answer.text(), await answer.json()
    usual = {"session": "realtime", "channel": "oai-events"}
    assert config["models"] == [{"name": "gpt-realtime-2.1", **usual}]
    assert config["any_model"] == usual
    assert config["replicas"] == [
        {"name": "replica-a", "url": "http://127.0.0.1:8080"},
        {"name": "replica-b", "url": "https://b.voice.example"},
    ]
    names = {"version", "models", "any_model", "default_model", "ice_servers", "replicas", "sign_in"}
    assert config.keys() == names
    assert config["ice_servers"] is False
    assert config["sign_in"] is None
    for secret in PLANTED:
        assert secret not in text


async def test_its_settings_tell_how_each_model_is_called(aiohttp_client: Start) -> None:
    azure = {"base_url": "https://voice.services.ai.azure.com", "api_key": "0" * 32, "model": "gpt-realtime"}
    deployments = {
        "openai": {"provider": "openai", "api_key": "sk-test-of-the-demo"},
        "live": {"provider": "openai-live", "api_key": "sk-test-of-the-demo", "model": "gpt-live-1"},
        "voice-live": {"provider": "azure-voice-live", **azure},
    }
    later = {
        "deployments": [{"deployment": "voice-live", "priority": 2}, {"deployment": "openai", "priority": 1}]
    }
    models = {"talk": "live", "azure": ["voice-live", "openai"], "usual": later}
    settings = {"CLOAKROOM_DEPLOYMENTS": json.dumps(deployments), "CLOAKROOM_MODELS": json.dumps(models)}
    client = await aiohttp_client(create_app(load(**_DEVELOPMENT | settings)))
    async with client.get("/demo/config.json") as answer:
        config = await answer.json()
    assert config["models"] == [
        {"name": "azure", "session": "realtime", "channel": "voice-live-events"},
        {"name": "talk", "session": "live", "channel": "oai-events"},
        {"name": "usual", "session": "realtime", "channel": "oai-events"},
    ]
    assert config["any_model"] is None
    kinds = load_assets()["kinds.js"].body.decode()
    for model in config["models"]:
        assert f"  {model['session']}: {{" in kinds


async def test_without_named_replicas_it_offers_the_one_that_it_came_from(aiohttp_client: Start) -> None:
    client = await aiohttp_client(create_app(load(**_DEVELOPMENT | {"CLOAKROOM_DEMO_REPLICAS": ""})))
    async with client.get("/demo/config.json") as answer:
        assert (await answer.json())["replicas"] == [{"name": "replica-a", "url": ""}]
    async with client.get("/demo") as answer:
        assert "connect-src 'self';" in answer.headers["Content-Security-Policy"]


async def test_it_offers_a_sign_in_where_the_service_takes_one_and_may_connect_to_the_issuer(
    aiohttp_client: Start,
) -> None:
    issuer = {
        "issuer": "https://sso.example/realms/acme",
        "audience": ["voice", "other"],
        "users": {"client": "shop", "page_client_id": "demo"},
    }
    settings = {"CLOAKROOM_ISSUERS": json.dumps({"team": issuer}), "CLOAKROOM_DEMO_REPLICAS": ""}
    client = await aiohttp_client(create_app(load(**_DEVELOPMENT | settings)))
    async with client.get("/demo/config.json") as answer:
        told = {"issuer": "https://sso.example/realms/acme", "client_id": "demo", "audience": "voice"}
        assert (await answer.json())["sign_in"] == told
    async with client.get("/demo") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "connect-src 'self' https://sso.example;" in policy


async def test_answers_name_their_replica_while_it_is_on_errors_too(aiohttp_client: Start) -> None:
    own = {"Origin": "https://shop.example"}
    on = await aiohttp_client(create_app(load(**_DEVELOPMENT, CLOAKROOM_CORS_ORIGINS="https://shop.example")))
    async with on.post("/v1/realtime/calls", headers=own) as answer:
        assert answer.status == 401
        assert answer.headers["x-cloakroom-replica"] == "replica-a"
        assert "x-cloakroom-replica" in answer.headers["Access-Control-Expose-Headers"]
    off = await aiohttp_client(
        create_app(
            load(**_DEVELOPMENT, CLOAKROOM_CORS_ORIGINS="https://shop.example", CLOAKROOM_DEMO="false")
        )
    )
    async with off.post("/v1/realtime/calls", headers=own) as answer:
        assert "x-cloakroom-replica" not in answer.headers
        assert "x-cloakroom-replica" not in answer.headers["Access-Control-Expose-Headers"]
    async with off.get("/demo") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "pair",
    ["http://127.0.0.1:8080", "a=127.0.0.1:8080", "a=http://x/path", "a=http://x;script-src", "a b=http://x"],
)
def test_a_replica_that_is_no_name_and_origin_is_refused(pair: str) -> None:
    (line,) = problems(CLOAKROOM_DEMO_REPLICAS=pair)
    assert line.startswith("CLOAKROOM_DEMO_REPLICAS: ")


def _codes(kind: type[CloakroomError]) -> Iterator[str]:
    yield kind.code
    for below in kind.__subclasses__():
        yield from _codes(below)


def test_the_page_has_plain_words_for_every_error_of_the_service() -> None:
    table = load_assets()["error_table.js"].body.decode()
    explained = set(re.findall(r"^  (\w+):", table, re.M))
    codes = set(_codes(errors.CloakroomError))
    assert "handle_spent" in codes
    assert codes <= explained


@pytest.mark.parametrize(
    "settings",
    [
        {"CLOAKROOM_ICE": '{"servers": ["stun:turn.example.com"]}'},
        {
            "CLOAKROOM_DEPLOYMENTS": '{"voice": {"provider": "inworld", "api_key": "aW53b3JsZA=="}}',
            "CLOAKROOM_MODELS": '{"voice": "voice"}',
        },
    ],
    ids=["the operator's", "the provider's"],
)
async def test_its_settings_tell_whether_there_are_ice_servers_and_not_which(
    aiohttp_client: Start, settings: dict[str, str]
) -> None:
    client = await aiohttp_client(create_app(load(**_DEVELOPMENT, **settings)))
    async with client.get("/demo/config.json") as answer:
        assert (await answer.json())["ice_servers"] is True
        assert "stun:" not in await answer.text()
