"""A provider that speaks OpenAI's contract under other URLs, added from outside ``app``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.models import Deployment
from app.providers.openai import OpenAI
from app.providers.registry import PROVIDERS, register
from app.settings import SettingsError, load_settings
from tests.conftest import ServiceFactory
from tests.support.planted import Planted

# Acme's paths, and what each is at OpenAI.
PATHS: Final = {"voice/tickets": "realtime/client_secrets", "voice/rooms": "realtime/calls"}


class Acme(OpenAI):
    """All that a provider needs which differs from OpenAI in its URLs only."""

    def base_url(self, pasted: str | None) -> str:
        return super().base_url(pasted or "https://voice.acme.example")

    def mint_url(self, deployment: Deployment, *, translation: bool) -> str:
        return f"{deployment.base_url}/voice/tickets"

    def calls_url(self, deployment: Deployment, *, translation: bool) -> str:
        return f"{deployment.base_url}/voice/rooms"

    def hangup_url(self, deployment: Deployment, call_id: str) -> str:
        return f"{deployment.base_url}/voice/rooms/{call_id}/leave"


@pytest.fixture
def acme() -> Iterator[Acme]:
    provider = Acme()
    remove = register("acme", provider)
    yield provider
    remove()


class Front:
    """Acme's API: the provider in a box, under Acme's paths. ``asked`` are the paths that were asked for."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.asked: list[str] = []
        self.behind = ""
        self._http = http

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._pass_on)
        return app

    async def _pass_on(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append(path)
        theirs = path.replace("/leave", "/hangup")
        for mine, openais in PATHS.items():
            theirs = theirs.replace(mine, openais)
        if theirs == path:
            return web.Response(status=404)
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        url = f"{self.behind}/v1/{theirs}"
        async with self._http.post(url, data=await request.read(), headers=headers) as answer:
            kept = {name: answer.headers[name] for name in ("Location", "Date") if name in answer.headers}
            kept["Content-Type"] = answer.headers.get("Content-Type", "text/plain")
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@pytest.fixture
async def front(http: aiohttp.ClientSession) -> AsyncIterator[tuple[Front, str]]:
    front = Front(http)
    server = TestServer(front.app())
    await server.start_server()
    yield front, str(server.make_url("")).rstrip("/")
    await server.close()


@pytest.mark.parametrize("call_key", ["ephemeral", "standard"])
async def test_mint_relay_and_hang_up_go_to_its_own_urls(
    acme: Acme, front: tuple[Front, str], service_factory: ServiceFactory, planted: Planted, call_key: str
) -> None:
    api, origin = front
    deployment = {
        "provider": "acme",
        "base_url": origin,
        "api_key": planted.openai_key,
        "call_key": call_key,
    }
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"acme": deployment}).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "acme"}',
    )
    api.behind = str(service.sandbox.make_url("")).rstrip("/")
    call_id = await service.called(await service.minted())
    reply = await service.hang_up(planted.client_key, call_id)
    assert reply.status == 200, reply
    assert api.asked == ["voice/tickets", "voice/rooms", f"voice/rooms/{call_id}/leave"]
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_its_refusals_are_explained_as_openais(
    acme: Acme, front: tuple[Front, str], service_factory: ServiceFactory
) -> None:
    api, origin = front
    deployment = {"provider": "acme", "base_url": origin, "api_key": "sk-of-nobody-at-all-2026"}
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"acme": deployment}).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "acme"}',
    )
    api.behind = str(service.sandbox.make_url("")).rstrip("/")
    reply = await service.mint()
    assert reply.status == 401
    assert "Check that deployments.acme.api_key is whole" in reply.json["error"]["message"]


def test_its_settings_have_openais_rules(acme: Acme, planted: Planted) -> None:
    deployment = {"provider": "acme", "entra": {"tenant_id": "t"}}
    environment = planted.environment(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"acme": deployment}).decode(), CLOAKROOM_MODELS='{"*": "acme"}'
    )
    with pytest.raises(SettingsError, match="entra is for Azure; set api_key"):
        load_settings(environment)


def test_a_name_that_is_not_registered_is_refused_with_those_that_are(planted: Planted) -> None:
    environment = planted.environment(
        CLOAKROOM_DEPLOYMENTS='{"acme": {"provider": "acme", "api_key": "k"}}',
        CLOAKROOM_MODELS='{"*": "acme"}',
    )
    with pytest.raises(SettingsError) as refused:
        load_settings(environment)
    *names, last = map(repr, PROVIDERS)
    assert f"deployments.acme.provider: Input should be {', '.join(names)} or {last}" in str(refused.value)


@pytest.mark.parametrize("name", ["openai", "azure", "Acme", "acme voice", "", "-acme"])
def test_a_name_that_is_taken_or_no_name_is_refused(name: str) -> None:
    known = dict(PROVIDERS)
    with pytest.raises(ValueError, match="provider"):
        register(name, Acme())
    assert dict(PROVIDERS) == known
