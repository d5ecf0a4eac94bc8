"""Call records in every kind of store: read back, ended once, and never kept alive by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.calls import CallStore
from app.store.records.claims import Attempt, Keep
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord

OFFER = "ab" * 32
RETENTION = 7200


@pytest.fixture
def calls(connection: StoreConnection) -> CallStore:
    return CallStore(connection)


@pytest.fixture
def call(handle_id: str) -> CallRecord:
    return CallRecord(
        f"rtc_{handle_id}", handle_id, "sweden", "gpt-realtime-2.1", "shop", "user-7", 1_234, "replica-b"
    )


async def register(connection: StoreConnection, call: CallRecord) -> None:
    """What a relay does."""
    store = HandleStore(connection, replica="replica-b")
    attempt = Attempt(call.handle, OFFER, "n1")
    await store.settle(attempt, "seal1.BBBB", call, keep=Keep(30, RETENTION), now=call.relayed_at)


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


async def test_a_call_reads_back_as_it_was_relayed_and_has_not_ended(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    await register(connection, call)
    assert await calls.get(call.id) == call
    assert call.ended_at is None
    anonymous = replace(call, id=call.id + "_2", subject="")
    await register(connection, anonymous)
    assert await calls.get(anonymous.id) == anonymous


async def test_a_call_that_nobody_relayed_is_none(calls: CallStore, call: CallRecord) -> None:
    assert await calls.get(call.id) is None


async def test_the_end_is_noted_and_the_record_ends_when_it_would_have(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    await register(connection, call)
    await raw(connection).pexpire(keys.call(call.id), 60_000)
    await calls.mark_ended(call, ended_at=2_000, ended_by="replica-a")
    assert await calls.get(call.id) == replace(call, ended_at=2_000, ended_by="replica-a")
    assert 50_000 < await raw(connection).pttl(keys.call(call.id)) <= 60_000


async def test_of_many_ends_at_once_exactly_one_stays_and_a_repeat_changes_nothing(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    await register(connection, call)
    await asyncio.gather(
        *(calls.mark_ended(call, ended_at=2_000 + n, ended_by=f"replica-{n}") for n in range(8))
    )
    ended = await calls.get(call.id)
    assert ended is not None
    assert ended.ended_at is not None
    # Time and replica are of the same one.
    assert ended.ended_by == f"replica-{ended.ended_at - 2_000}"
    await calls.mark_ended(call, ended_at=9_999, ended_by="late")
    assert await calls.get(call.id) == ended


async def test_a_call_that_ended_at_its_provider_no_longer_counts_as_open(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    before = await calls.count_open(now=call.relayed_at)
    await register(connection, call)
    await calls.mark_attached(call.id, at=1_500)
    await calls.mark_attached(call.id, at=1_600)
    await calls.mark_no_sideband(call.id, because="not_found")
    assert await calls.get(call.id) == replace(call, attached_at=1_500, sideband="not_found")
    assert await calls.count_open(now=call.relayed_at) == before + 1
    await calls.mark_ended(call, ended_at=2_000, ended_by="replica-a", because="remote")
    assert await calls.count_open(now=call.relayed_at) == before


async def test_the_end_of_a_record_that_is_gone_makes_no_new_one(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    await calls.mark_ended(call, ended_at=2_000, ended_by="replica-a")
    assert await raw(connection).exists(keys.call(call.id)) == 0
    assert await calls.get(call.id) is None


async def test_a_relay_that_settles_late_does_not_bring_an_ended_call_back(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    """A settlement whose reply was lost is repeated, perhaps after the hang-up."""
    await register(connection, call)
    await calls.mark_ended(call, ended_at=2_000, ended_by="replica-a")
    await register(connection, call)
    assert await calls.get(call.id) == replace(call, ended_at=2_000, ended_by="replica-a")


async def test_a_hash_that_no_relay_wrote_is_no_call(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    client, key = raw(connection), keys.call(call.id)
    for fields in ({"relayed_at": 1_234}, {"handle": call.handle}):
        await client.hset(key, mapping={"client": "shop", **fields})
        assert await calls.get(call.id) is None
        await client.delete(key)
    await client.hset(key, mapping={"handle": call.handle, "relayed_at": 1_234})
    assert await calls.get(call.id) == CallRecord(call.id, call.handle, "", "", "", "", 1_234, "")
    await client.delete(key)


async def test_what_a_call_used_is_noted_once_and_read_back(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    await register(connection, call)
    usage = {"responses": 2, "output_tokens": 512, "answer_seconds": 19.1}
    await calls.mark_metered(call.id, "incomplete", seconds=3599.123, usage=usage)
    await calls.mark_metered(call.id, "complete", seconds=1, usage={"responses": 9})
    assert await calls.get(call.id) == replace(call, metered="incomplete", seconds=3599.123, usage=usage)
    # Another release, or a person, may have written anything.
    await raw(connection).hset(keys.call(call.id), mapping={"responses": "many", "seconds": "nan?"})
    found = await calls.get(call.id)
    assert found is not None
    assert (found.seconds, found.usage) == (None, {"output_tokens": 512, "answer_seconds": 19.1})


async def test_a_call_that_is_to_be_metered_is_among_the_watches_and_others_are_not(
    connection: StoreConnection, call: CallRecord
) -> None:
    await register(connection, call)
    assert await raw(connection).zscore(keys.watches(), call.id) is None
    await register(connection, replace(call, to_meter=True))
    assert await raw(connection).zscore(keys.watches(), call.id) is not None
    await raw(connection).zrem(keys.watches(), call.id)
