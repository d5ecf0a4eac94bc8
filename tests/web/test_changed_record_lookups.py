"""Records that were changed in the store: a look-up tells nothing of them, and no ICE server is named."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.conformance import Exchange
from tests.support.handles import forge, key_of
from tests.support.service import Service
from tests.web.changes import EDITS, noted, refused
from tests.web.operators import id_of, post

SETTINGS: Final = {
    "CLOAKROOM_HANDLE_MAX_CALLS": "2",
    "CLOAKROOM_MAX_CALL_SECONDS": "600",
    "CLOAKROOM_ICE": json.dumps({"servers": ["turn:turn.example.com"], "turn_secret": "planted-turn-secret"}),
}
# The seal proves its value by itself, and a look-up does not open it.
SEALED: Final = frozenset({"another sealed key", "half of the sealed key"})


async def look_up(service: Service, handle: str) -> Reply:
    path, headers = "/v1/realtime/handles/lookup", {"Authorization": f"Bearer {handle}"}
    return await service.post(path, headers=headers)


async def ice_servers(service: Service, handle: str) -> Reply:
    url, headers = f"{service.base}/v1/realtime/ice-servers", {"Authorization": f"Bearer {handle}"}
    async with service.http.get(url, headers=headers) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        body = await answer.read()
        service.conformance.see(Exchange("GET", answer.url.path, answer.status, found, body))
        return Reply(answer.status, found, body.decode())


Ask = Callable[[Service, str], Awaitable[Reply]]
both = pytest.mark.parametrize("ask", [look_up, ice_servers])


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(**SETTINGS)


async def assert_refused(service: Service, ask: Ask, handle: str, *, times: int = 1) -> None:
    reply = await ask(service, handle)
    assert (reply.status, reply.code) == (401, "invalid_handle"), reply
    assert "turn" not in reply.text
    assert await refused(service) == times
    await noted(service, handle)


@both
@pytest.mark.parametrize("name", sorted(EDITS.keys() - SEALED))
async def test_of_an_edited_record_nothing_is_told(service: Service, ask: Ask, name: str) -> None:
    handle = await service.minted()
    store, key = service.store_client, keys.handle(id_of(handle))
    as_minted = await store.hgetall(key)
    await EDITS[name](store, key)
    await assert_refused(service, ask, handle)

    if "subject" not in as_minted:
        await store.hdel(key, "subject")
    await store.hset(key, mapping=as_minted)
    assert (await ask(service, handle)).status == 200
    assert await refused(service) == 1


@both
async def test_uses_that_were_taken_back_in_the_store_are_noticed(service: Service, ask: Ask) -> None:
    handle = await service.minted()
    assert (await service.relay(handle)).status == 201
    for calls in ("0", "none"):
        await service.store_client.hset(keys.handle(id_of(handle)), "calls", calls)
        assert (await ask(service, handle)).code == "invalid_handle"
    await service.store_client.hset(keys.handle(id_of(handle)), "calls", "1")
    assert (await ask(service, handle)).status == 200
    assert await refused(service) == 2


@both
async def test_a_revocation_that_was_taken_back_in_the_store_is_noticed(service: Service, ask: Ask) -> None:
    handle = await service.minted()
    await post(service, f"/handles/{id_of(handle)}/revoke")
    await service.store_client.hdel(keys.handle(id_of(handle)), "revoked_at", "revoked_by")
    await assert_refused(service, ask, handle)


@both
async def test_a_proof_by_a_key_that_the_ring_does_not_have_is_no_proof(service: Service, ask: Ask) -> None:
    handle = await service.minted()
    key = keys.handle(id_of(handle))
    _, _, mac = (await service.store_client.hget(key, "proof")).partition(".")
    await service.store_client.hset(key, "proof", f"retired.{mac}")
    await assert_refused(service, ask, handle)


@both
async def test_a_handle_of_a_release_that_wrote_no_proof_is_served(service: Service, ask: Ask) -> None:
    """Its id says so, which is signed."""
    handle = await service.minted()
    store, handle_id = service.store_client, id_of(handle)
    before = handle_id[:-1] + "A"
    record = await store.hgetall(keys.handle(handle_id))
    del record["proof"]
    await store.hset(keys.handle(before), mapping=record)
    older = forge(handle, key_of(service.planted.signing), jti=before)
    assert (await ask(service, older)).status == 200
    assert await refused(service) == 0
