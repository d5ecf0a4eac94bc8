"""Hanging up: by whom, and how often."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from app.handles.tokens import AFTERLIFE_SECONDS
from app.store import keys
from app.store.embedded.engine import LocalEngine
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.handles import aged, claims_of
from tests.support.onlooker import async_onlooker
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.hangups import hangups, record

KIOSK_KEY: Final = "ck_kiosk7Qz4YtWmP1nXcVbKjHgFdSaReZk8wLr2uTn5v"


async def other_replica(first: Service, start: ServiceFactory, **settings: str) -> Service:
    """One more replica in front of the same store and provider."""
    return await start(
        CLOAKROOM_REPLICA="replica-b", OPENAI_BASE_URL=str(first.sandbox.make_url("/v1")), **settings
    )


# --- by whom ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ALIASES)
@pytest.mark.parametrize("by", ["client", "handle"])
async def test_client_and_handle_end_the_call_under_every_alias(service: Service, base: str, by: str) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    credential = handle if by == "handle" else service.planted.client_key
    reply = await service.post(
        f"{base}/realtime/calls/{call_id}/hangup", headers={"Authorization": f"Bearer {credential}"}
    )
    assert (reply.status, reply.text) == (200, "")
    assert service.call(call_id)["end_reason"] == "hangup"
    assert reply.headers["x-request-id"]


async def test_either_credential_is_taken_in_azures_header_and_the_handle_without_its_prefix(
    service: Service,
) -> None:
    for credential in (service.planted.client_key, None, None):
        handle = await service.minted()
        call_id = await service.called(handle)
        reply = await service.post(
            f"/openai/v1/realtime/calls/{call_id}/hangup",
            headers={"api-key": credential or handle.removeprefix("ek_")},
        )
        assert reply.status == 200
        assert service.call(call_id)["end_reason"] == "hangup"


async def test_the_provider_gets_the_standard_key_and_no_body(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    assert (await service.hang_up(handle, call_id)).status == 200
    (sent,) = hangups(service)
    headers = {name.lower(): value for name, value in sent["headers"]}
    assert headers["authorization"] == f"Bearer {service.planted.openai_key}"
    assert (sent["path"], sent["query"]) == (f"/v1/realtime/calls/{call_id}/hangup", "")
    assert (sent["body_size"], headers["content-length"]) == (0, "0")
    assert headers["content-type"] == "application/json"


async def test_a_foreign_call_and_an_unknown_one_cannot_be_told_apart_and_live_on(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_factory(CLOAKROOM_API_KEYS=f"shop:{planted.client_key},kiosk:{KIOSK_KEY}")
    handle = await service.minted()
    call_id, own_id = await service.called(handle), await service.called(handle)
    assert (await service.hang_up(handle, own_id)).status == 200
    stranger = await service.minted()
    answers = set()
    for credential in (KIOSK_KEY, stranger, aged(stranger, planted.signing, seconds=60)):
        # Alive, ended, and never there.
        for known in (call_id, own_id, "rtc_nobody"):
            reply = await service.hang_up(credential, known)
            assert (reply.status, reply.code) == (404, "call_id_not_found"), (credential, known)
            answers.add(reply.text)
    assert len(answers) == 1
    assert len(hangups(service)) == 1
    assert service.call(call_id)["ended_at"] is None
    assert (await service.hang_up(service.planted.client_key, call_id)).status == 200


async def test_the_handle_that_made_the_call_ends_it_for_an_hour_after_its_expiry(service: Service) -> None:
    handle, ring = await service.minted(), service.planted.signing
    call_ids = [await service.called(handle) for _ in range(3)]
    for seconds, call_id in zip((1, 3599), call_ids, strict=False):
        late = aged(handle, ring, seconds=seconds)
        # For everything else it is over.
        assert (await service.relay(late)).code == "handle_expired"
        assert (await service.hang_up(late, call_id)).status == 200
        assert service.call(call_id)["end_reason"] == "hangup"
    reply = await service.hang_up(aged(handle, ring, seconds=AFTERLIFE_SECONDS), call_ids[2])
    assert (reply.status, reply.code) == (401, "handle_expired")
    assert service.call(call_ids[2])["ended_at"] is None


async def test_a_handle_whose_record_is_gone_still_ends_its_call(
    service: Service, engine: LocalEngine
) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    store = async_onlooker(engine.url, decode=False)
    await store.delete(keys.handle(claims_of(handle)["jti"]))
    await store.aclose()
    assert (await service.relay(handle)).code == "handle_expired"
    assert (await service.hang_up(handle, call_id)).status == 200


# --- how often ----------------------------------------------------------------------------------


async def test_the_end_is_on_record_and_a_second_hang_up_asks_nobody(
    service_factory: ServiceFactory, engine: LocalEngine
) -> None:
    service = await service_factory()
    elsewhere = await other_replica(service, service_factory)
    handle = await service.minted()
    call_id = await service.called(handle)
    before, _ = await record(service, engine, call_id)
    assert "ended_at" not in before
    assert (await elsewhere.hang_up(handle, call_id)).status == 200
    after, life = await record(service, engine, call_id)
    assert after == {**before, "ended_at": after["ended_at"], "ended_by": "replica-b"}
    assert int(after["ended_at"]) >= int(before["relayed_at"])
    assert 0 < life <= 7_200_000
    for replica in (service, elsewhere):
        for credential in (handle, service.planted.client_key):
            assert (await replica.hang_up(credential, call_id)).status == 200
    assert len(hangups(service)) == 1
    assert (await record(service, engine, call_id))[0] == after


async def test_eight_hang_ups_at_once_at_two_replicas_all_succeed(service_factory: ServiceFactory) -> None:
    service = await service_factory()
    elsewhere = await other_replica(service, service_factory)
    handle = await service.minted()
    call_id = await service.called(handle)
    credentials = [handle, service.planted.client_key] * 4
    replies = await asyncio.gather(
        *(
            (service, elsewhere)[number // 4].hang_up(credential, call_id)
            for number, credential in enumerate(credentials)
        )
    )
    assert [reply.status for reply in replies] == [200] * 8
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_a_call_that_the_provider_knows_no_longer_is_over(
    service: Service, engine: LocalEngine
) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    await service.provider.calls.hang_up(call_id)
    assert (await service.hang_up(handle, call_id)).status == 200
    assert "ended_at" in (await record(service, engine, call_id))[0]
    assert (await service.hang_up(handle, call_id)).status == 200
    assert [entry["status"] for entry in hangups(service)] == [404]
