"""The ICE servers of a call: who gets which, that it spends nothing, and who sees a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any, Final

import orjson
import pytest

from app.store.embedded.engine import LocalEngine
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.conformance import Exchange
from tests.support.handles import aged, bad_handles
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sinks import store_dump
from tests.web.operators import id_of, post

PAGE: Final = "https://app.example.com"
SECRET: Final = "planted-turn-secret-of-2026"
STUN: Final = "stun:turn.example.com:3478"
UDP, TLS = "turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:5349?transport=tcp"
FIXED: Final = {
    "urls": "turn:old.example.com",
    "username": "page",
    "credential": 'planted "fixed" pass\\word',
}


def ice(*servers: Any, **more: Any) -> dict[str, str]:
    return {"CLOAKROOM_ICE": orjson.dumps({"servers": servers, **more}).decode()}


SHARED: Final = ice(STUN, {"urls": [UDP, TLS]}, turn_secret=SECRET, lifetime_seconds=900)


async def fetch(service: Service, credential: str | None, path: str = "/v1", **headers: str) -> Reply:
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    async with service.http.get(f"{service.base}{path}/realtime/ice-servers", headers=headers) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        body = await answer.read()
        service.conformance.see(Exchange("GET", answer.url.path, answer.status, found, body))
        return Reply(answer.status, found, body.decode())


def links(reply_headers: Any) -> list[str]:
    return list(reply_headers.getall("Link", []))


async def relayed_links(service: Service, handle: str, offer: bytes | None = None) -> list[str]:
    headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"}
    url, data = f"{service.base}/v1/realtime/calls", fresh_offer() if offer is None else offer
    async with service.http.post(url, data=data, headers=headers) as answer:
        assert answer.status == 201
        return links(answer.headers)


# --- which servers ---------------------------------------------------------------------------------


async def test_without_servers_the_list_is_empty_and_no_answer_names_one(service: Service) -> None:
    handle = await service.minted()
    reply = await fetch(service, handle)
    assert (reply.status, reply.json) == (200, {"ice_servers": [], "expires_at": None})
    assert await relayed_links(service, handle) == []


async def test_turn_servers_get_a_credential_that_ends_and_that_the_shared_secret_proves(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(**SHARED)
    before = int(time.time())
    reply = await fetch(service, await service.minted())
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    stun, turn = reply.json["ice_servers"]
    assert stun == {"urls": [STUN]}
    assert turn["urls"] == [UDP, TLS]
    ends, _, user = turn["username"].partition(":")
    assert int(ends) == reply.json["expires_at"]
    assert before + 900 <= int(ends) <= time.time() + 900
    assert len(user) == 16
    # As coturn computes it: src/client++ and src/apps/relay/userdb.c, "use-auth-secret".
    digest = hmac.new(SECRET.encode(), turn["username"].encode(), hashlib.sha1).digest()
    assert turn["credential"] == base64.b64encode(digest).decode()


async def test_a_fixed_credential_is_given_as_it_is(service_factory: ServiceFactory) -> None:
    service = await service_factory(**ice(FIXED))
    reply = await fetch(service, await service.minted())
    assert reply.json == {"ice_servers": [{**FIXED, "urls": [FIXED["urls"]]}], "expires_at": None}


async def test_the_user_name_tells_users_apart_and_not_who_they_are(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED)

    async def user(subject: str | None) -> str:
        headers = {"x-cloakroom-subject": subject} if subject is not None else {}
        minted = await service.mint(**headers)
        reply = await fetch(service, minted.json["value"])
        return str(reply.json["ice_servers"][1]["username"]).partition(":")[2]

    first, again, other = await user("anna"), await user("anna"), await user("ben")
    assert first == again != other
    assert "anna" not in first
    # Without a subject each handle counts as a user.
    assert await user(None) != await user(None)


@pytest.mark.parametrize("base", ALIASES)
async def test_every_form_of_the_path_answers(service_factory: ServiceFactory, base: str) -> None:
    service = await service_factory(**SHARED)
    assert (await fetch(service, await service.minted(), base)).status == 200


# --- for whom --------------------------------------------------------------------------------------


async def test_it_spends_no_use_and_a_spent_handle_still_gets_them(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED, CLOAKROOM_HANDLE_MAX_CALLS="1")
    handle = await service.minted()
    for _ in range(3):
        assert (await fetch(service, handle)).status == 200
    assert (await service.relay(handle)).status == 201
    assert (await service.relay(handle)).code == "handle_spent"
    assert (await fetch(service, handle)).status == 200


async def test_a_revoked_handle_gets_none(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED)
    handle = await service.minted()
    await post(service, f"/handles/{id_of(handle)}/revoke")
    reply = await fetch(service, handle)
    assert (reply.status, reply.code) == (401, "handle_revoked")


async def test_a_handle_whose_record_is_gone_gets_none(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED)
    handle = await service.minted()
    for key in await service.store_client.keys("cloakroom:handle:*"):
        await service.store_client.delete(key)
    reply = await fetch(service, handle)
    assert (reply.status, reply.code) == (401, "handle_expired")


async def test_what_is_no_handle_gets_none(service_factory: ServiceFactory, planted: Planted) -> None:
    service = await service_factory(**SHARED)
    handle = await service.minted()
    old = aged(handle, planted.signing, seconds=120)
    bads = [bad for bad, _ in bad_handles(handle, planted.signing).values()]
    for bad in [None, planted.client_key, planted.openai_key, old, *bads]:
        reply = await fetch(service, bad)
        assert reply.status == 401, bad
        assert reply.code in ("invalid_handle", "handle_expired")
        assert "turn" not in reply.text


# --- pages -----------------------------------------------------------------------------------------


async def test_pages_may_ask_and_read_the_links(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED, CLOAKROOM_CORS_ORIGINS=PAGE)
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    asked["Access-Control-Request-Headers"] = "authorization"
    async with service.http.options(f"{service.base}/v1/realtime/ice-servers", headers=asked) as preflight:
        assert preflight.status == 204
        assert "GET" in preflight.headers["Access-Control-Allow-Methods"]
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    handle = await service.minted()
    reply = await fetch(service, handle, Origin=PAGE)
    assert reply.headers["access-control-allow-origin"] == PAGE
    relayed = await service.relay(handle, Origin=PAGE)
    assert "Link" in relayed.headers["access-control-expose-headers"].split(", ")
    assert (await fetch(service, handle, Origin="https://evil.example")).code == "origin_not_allowed"


# --- Link ------------------------------------------------------------------------------------------


async def test_the_answer_to_an_offer_names_the_servers_as_links(service_factory: ServiceFactory) -> None:
    service = await service_factory(**ice(STUN, FIXED, {"urls": [UDP, TLS]}, turn_secret=SECRET))
    handle, offer = await service.minted(), fresh_offer()
    stun, fixed, udp, tls = await relayed_links(service, handle, offer)
    assert stun == f'<{STUN}>; rel="ice-server"'
    assert fixed == (
        '<turn:old.example.com>; rel="ice-server"; username="page"; '
        'credential="planted \\"fixed\\" pass\\\\word"; credential-type="password"'
    )
    assert udp.startswith(f'<{UDP}>; rel="ice-server"; username="')
    assert tls.startswith(f'<{TLS}>; rel="ice-server"; username="')
    # The same offer again gets the same answer, and servers as well.
    assert len(await relayed_links(service, handle, offer)) == 4


async def test_links_can_be_turned_off(service_factory: ServiceFactory) -> None:
    service = await service_factory(**ice(STUN, link=False))
    handle = await service.minted()
    assert await relayed_links(service, handle) == []
    assert (await fetch(service, handle)).json["ice_servers"] == [{"urls": [STUN]}]


# --- secrets ---------------------------------------------------------------------------------------


async def test_no_secret_is_logged_stored_or_answered(
    service_factory: ServiceFactory, engine: LocalEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    service = await service_factory(**ice(FIXED, UDP, turn_secret=SECRET))
    handle = await service.minted()
    reply = await fetch(service, handle)
    await service.relay(handle)
    given = [server["credential"] for server in reply.json["ice_servers"]]
    written = "\n".join([*capfd.readouterr(), *(await store_dump(engine.url))])
    assert '"event":"ice"' in written
    assert SECRET not in reply.text
    for secret in (SECRET, *given):
        assert secret not in written


# --- when the store fails --------------------------------------------------------------------------


async def test_a_record_of_a_newer_release_is_another_replicas(service_factory: ServiceFactory) -> None:
    service = await service_factory(**SHARED)
    handle = await service.minted()
    for key in await service.store_client.keys("cloakroom:handle:*"):
        await service.store_client.hset(key, "v", "99")
    reply = await fetch(service, handle)
    assert (reply.status, reply.code) == (503, "draining")
