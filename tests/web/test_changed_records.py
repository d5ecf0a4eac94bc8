"""Records that were changed in the store: each is refused before the provider is asked, counted and told.

The store is a real server, and the changes are those of somebody who can write to it.
"""

from __future__ import annotations

import json
from typing import Final

import pytest

from app.models import USUAL_MODEL
from app.store import keys
from app.store.records.bearers import packed
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.offers import certificate, fresh_offer, offer_with
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sideband import UPGRADE
from tests.web.changes import EDITS, Change, noted, refused, remove, write
from tests.web.operators import id_of

MAX_CALLS: Final = 2
KIOSK_KEY: Final = "ck_" + "k10sk-Key0fTheTests-4711"
SETTINGS: Final = {
    "CLOAKROOM_HANDLE_MAX_CALLS": str(MAX_CALLS),
    "CLOAKROOM_MAX_CALL_SECONDS": "600",
    "CLOAKROOM_CORS_ORIGINS": "*",
    "CLOAKROOM_CLIENTS": json.dumps({"kiosk": {"api_key": KIOSK_KEY}}),
}


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(**SETTINGS)


async def assert_refused(service: Service, handle: str, reply: Reply) -> None:
    assert (reply.status, reply.code) == (401, "invalid_handle"), reply
    assert service.asked("/calls") == 0
    assert await refused(service) == 1
    await noted(service, handle)


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS.keys())
async def test_an_edited_handle_opens_no_call_and_loses_no_use(service: Service, change: Change) -> None:
    handle = await service.minted()
    store, key = service.store_client, keys.handle(id_of(handle))
    as_minted = await store.hgetall(key)
    await change(store, key)
    await assert_refused(service, handle, await service.relay(handle))

    # With the record as it was, it is as good as before.
    if "subject" not in as_minted:
        await store.hdel(key, "subject")
    await store.hset(key, mapping={name: as_minted[name] for name in as_minted if name != "calls"})
    for _ in range(MAX_CALLS):
        assert (await service.relay(handle)).status == 201
    assert (await service.relay(handle)).code == "handle_spent"
    assert await refused(service) == 1


BINDING_EDITS: Final[dict[str, Change]] = {
    "no certificate": remove("bind_fingerprint"),
    "the thief's certificate": write("bind_fingerprint", packed(certificate(2))),
    "no origin": remove("bind_origin"),
    "the thief's origin": write("bind_origin", "https://evil.example"),
}


@pytest.mark.parametrize("change", BINDING_EDITS.values(), ids=BINDING_EDITS.keys())
async def test_a_binding_cannot_be_taken_off(service: Service, change: Change) -> None:
    """Whatever the thief's offer is like, the proof is over the binding."""
    bind = {"origin": "https://app.example", "fingerprint": certificate(1)}
    handle = await service.minted({"model": USUAL_MODEL, "bind": bind})
    key = keys.handle(id_of(handle))
    await change(service.store_client, key)
    record = await service.store_client.hgetall(key)
    stolen = "bind_fingerprint" not in record or record["bind_fingerprint"] == packed(certificate(2))
    moved = "bind_origin" not in record or record["bind_origin"] != bind["origin"]
    reply = await service.relay(
        handle,
        offer_with(certificate(2 if stolen else 1)),
        Origin="https://evil.example" if moved else bind["origin"],
    )
    await assert_refused(service, handle, reply)


async def test_a_handle_leads_to_no_other_deployment_than_its_mint_chose(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    deployment = {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key}
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps({"first": deployment, "second": deployment}),
        CLOAKROOM_MODELS=json.dumps({USUAL_MODEL: "first", "other": "second"}),
    )
    handle = await service.minted()
    await service.store_client.hset(keys.handle(id_of(handle)), "deployment", "second")
    await assert_refused(service, handle, await service.relay(handle))


_SEALED: Final = ("sealed_key", "sealed_key_2")


@pytest.mark.parametrize("fields", [None, _SEALED, ("proof",), (*_SEALED, "proof")])
async def test_two_handles_that_were_swapped_open_no_call(
    service: Service, fields: tuple[str, ...] | None
) -> None:
    """Their whole records, or parts of them."""
    one, other = await service.minted(), await service.minted()
    store = service.store_client
    first, second = keys.handle(id_of(one)), keys.handle(id_of(other))
    if fields is None:
        lives = await store.pttl(first), await store.pttl(second)
        of_first, of_second = await store.hgetall(first), await store.hgetall(second)
        await store.delete(first, second)
        await store.hset(first, mapping=of_second)
        await store.hset(second, mapping=of_first)
        await store.pexpire(first, lives[1])
        await store.pexpire(second, lives[0])
    else:
        for name in fields:
            mine, others = await store.hget(first, name), await store.hget(second, name)
            await store.hset(first, name, others)
            await store.hset(second, name, mine)
    for number, handle in enumerate((one, other), start=1):
        reply = await service.relay(handle)
        assert (reply.status, reply.code) == (401, "invalid_handle"), reply
        assert await refused(service) == number
    assert service.asked("/calls") == 0


async def test_a_spent_handle_whose_earlier_record_is_put_back_stays_spent_at_every_replica(
    service: Service, service_factory: ServiceFactory
) -> None:
    other = await service_factory(**SETTINGS)
    handle = await service.minted()
    store, key = service.store_client, keys.handle(id_of(handle))
    raw = await _dump(service, key)
    for _ in range(MAX_CALLS):
        assert (await service.relay(handle)).status == 201
    before = service.asked("/calls")
    await _put_back(service, key, raw)
    assert await store.hget(key, "calls") == "0"
    for replica in (service, other):
        reply = await replica.relay(handle)
        assert (reply.status, reply.code) == (401, "invalid_handle")
        assert await refused(replica) == 1
    assert (service.asked("/calls"), other.asked("/calls")) == (before, 0)


async def test_a_handle_that_is_half_used_cannot_be_made_new(service: Service) -> None:
    handle = await service.minted()
    store, key = service.store_client, keys.handle(id_of(handle))
    assert (await service.relay(handle)).status == 201
    await store.hset(key, "calls", 0)
    assert (await service.relay(handle)).code == "invalid_handle"
    await store.hset(key, "calls", "none")
    assert (await service.relay(handle)).code == "invalid_handle"
    await store.hset(key, "calls", 1)
    assert (await service.relay(handle)).status == 201


async def test_a_revoked_handle_stays_revoked(service: Service) -> None:
    handle = await service.minted()
    key = keys.handle(id_of(handle))
    raw = await _dump(service, key)
    headers = {"Authorization": f"Bearer {service.planted.admin_key}"}
    path = f"/admin/v1/handles/{id_of(handle)}/revoke"
    assert (await service.post(path, headers=headers)).status == 200
    assert (await service.relay(handle)).code == "handle_revoked"
    assert await refused(service) == 0

    await service.store_client.hdel(key, "revoked_at", "revoked_by")
    assert (await service.relay(handle)).code == "invalid_handle"
    await _put_back(service, key, raw)
    assert (await service.relay(handle)).code == "invalid_handle"
    assert await refused(service) == 2
    assert service.asked("/calls") == 0


async def test_a_use_that_was_given_back_can_be_used_again(service: Service) -> None:
    """Giving back is no earlier record: the store's second count goes back, too."""
    handle = await service.minted()
    port = await service.stop_provider()
    assert port
    for _ in range(3 * MAX_CALLS):
        assert (await service.relay(handle)).code == "upstream_unreachable"
    uses = await service.store_client.hgetall(keys.uses(id_of(handle)))
    assert uses == {"calls": "0"}
    assert await refused(service) == 0


async def test_an_answer_is_given_to_its_own_offer_alone(service: Service) -> None:
    handles, offers = [await service.minted() for _ in range(2)], [fresh_offer() for _ in range(2)]
    store = service.store_client
    claims = []
    for handle, offer in zip(handles, offers, strict=True):
        assert (await service.relay(handle, offer)).status == 201
        (claim,) = [key async for key in store.scan_iter(match=f"*claim:{{{id_of(handle)}}}:*")]
        claims.append(claim)
    before = service.asked("/calls")
    first, second = await store.get(claims[0]), await store.get(claims[1])
    call_id, _, sealed = first.removeprefix("answered:").partition(":")
    for forged in (second, f"answered:rtc_other:{sealed}", f"answered:{call_id}:{sealed[:-4]}AAAA"):
        await store.set(claims[0], forged, px=60_000)
        reply = await service.relay(handles[0], offers[0])
        assert (reply.status, reply.code) == (502, "outcome_unknown"), reply
    await store.set(claims[0], first, px=60_000)
    assert (await service.relay(handles[0], offers[0])).status == 201
    assert service.asked("/calls") == before
    assert await refused(service) == 3


CALL_EDITS: Final[dict[str, Change]] = {
    "another handle": write("handle", "Zq3vT0m1S2uYx8bKc4dWnB"),
    "another deployment": write("deployment", "elsewhere"),
    "another model": write("model", "gpt-realtime"),
    "another subject": write("subject", "somebody-else"),
    "another time": write("relayed_at", "1"),
    "a longer life": write("max_call_seconds", "3600"),
    "a life without end": remove("max_call_seconds"),
    "a seat": write("seat", "offer:1"),
    "another proof": write("proof", "seal1.AAAAAAAAAAAAAAAAAAAAAA"),
}


@pytest.mark.parametrize("change", CALL_EDITS.values(), ids=CALL_EDITS.keys())
async def test_an_edited_call_is_neither_hung_up_nor_attached_to(service: Service, change: Change) -> None:
    call_id = await service.called(await service.minted())
    await change(service.store_client, keys.call(call_id))
    await assert_untouched(service, service.planted.client_key, call_id)


async def test_a_call_that_was_given_to_another_client_is_not_its_call(service: Service) -> None:
    call_id = await service.called(await service.minted())
    await service.store_client.hset(keys.call(call_id), "client", "kiosk")
    await assert_untouched(service, KIOSK_KEY, call_id)


async def test_two_calls_that_were_swapped_are_nobodys(service: Service) -> None:
    """The record of the other client's call under the id of this one's."""
    mine = await service.called(await service.minted())
    reply = await service.post(
        "/v1/realtime/client_secrets",
        json={"model": USUAL_MODEL},
        headers={"Authorization": f"Bearer {KIOSK_KEY}"},
    )
    others = await service.called(reply.json["value"])
    store = service.store_client
    record = await store.hgetall(keys.call(others))
    await store.delete(keys.call(mine))
    await store.hset(keys.call(mine), mapping=record)
    await assert_untouched(service, KIOSK_KEY, mine)


async def test_a_call_without_a_proof_counts_unless_that_is_forbidden(
    service: Service, service_factory: ServiceFactory
) -> None:
    call_id = await service.called(await service.minted())
    await service.store_client.hdel(keys.call(call_id), "proof")
    strict = await service_factory(**SETTINGS, CLOAKROOM_REQUIRE_CALL_PROOFS="true")
    await assert_untouched(strict, strict.planted.client_key, call_id)
    assert (await service.hang_up(service.planted.client_key, call_id)).status == 200


async def assert_untouched(service: Service, key: str, call_id: str) -> None:
    reply = await service.hang_up(key, call_id)
    assert (reply.status, reply.code) == (404, "call_id_not_found")
    assert service.asked("/hangup") == 0
    assert await refused(service) == 1
    url, headers = (
        f"{service.base}/v1/realtime?call_id={call_id}",
        UPGRADE | {"Authorization": f"Bearer {key}"},
    )
    async with service.http.get(url, headers=headers) as answer:
        assert answer.status == 404


async def _dump(service: Service, key: str) -> dict[str, str]:
    """The record as it is, field by field, as a backup has it."""
    found: dict[str, str] = await service.store_client.hgetall(key)
    return found


async def _put_back(service: Service, key: str, record: dict[str, str]) -> None:
    store = service.store_client
    life = await store.pttl(key)
    await store.delete(key)
    await store.hset(key, mapping=record)
    await store.pexpire(key, life)
