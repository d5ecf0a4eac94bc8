"""The deadlines of calls in every kind of store: taken by one at a time, after its death by another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.deadlines import CallDeadlines, Due
from tests.support.clocks import eventually

LONG = 300.0
# Long enough for what stands between a take and the next line of a test, on a busy machine too.
HOLD = 60.0
AT_MOST = 1_000


@pytest.fixture
async def deadlines(connection: StoreConnection) -> CallDeadlines:
    """Deadlines of a store that has no other ones."""
    for name in keys.ALL_DEADLINES:
        await raw(connection).delete(name)
    return CallDeadlines(connection)


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


async def entries(connection: StoreConnection) -> list[str]:
    found = [await raw(connection).zrange(name, 0, -1) for name in keys.ALL_DEADLINES]
    return sorted(entry for slice_ in found for entry in slice_)


async def test_a_deadline_is_taken_once_it_has_come_and_not_before(
    deadlines: CallDeadlines, connection: StoreConnection
) -> None:
    await deadlines.add("undelivered", "rtc_later", seconds=LONG)
    await deadlines.add("lost", "rtc_now", seconds=0)
    assert [(due.reason, due.call_id) for due in await deadlines.take(hold=HOLD, at_most=AT_MOST)] == [
        ("lost", "rtc_now")
    ]
    assert await entries(connection) == ["lost:rtc_now", "undelivered:rtc_later"]


async def test_of_many_that_take_at_once_one_gets_each(deadlines: CallDeadlines) -> None:
    ids = {f"rtc_{number}" for number in range(100)}
    for call_id in ids:
        await deadlines.add("undelivered", call_id, seconds=0)
    taken = await asyncio.gather(*(deadlines.take(hold=HOLD, at_most=AT_MOST) for _ in range(8)))
    assert sorted(due.call_id for some in taken for due in some) == sorted(ids)


async def test_no_more_are_taken_than_asked_for_and_the_rest_later(deadlines: CallDeadlines) -> None:
    for number in range(100):
        await deadlines.add("undelivered", f"rtc_{number}", seconds=0)
    first = await deadlines.take(hold=HOLD, at_most=16)
    # In a Cluster each slice is asked for its share, and no share is less than one.
    assert 0 < len(first) <= 16
    assert await deadlines.take(hold=HOLD, at_most=0) == []
    rest = await deadlines.take(hold=HOLD, at_most=AT_MOST)
    assert len(first) + len(rest) == 100


async def test_what_a_dead_replica_held_is_taken_after_the_hold(deadlines: CallDeadlines) -> None:
    await deadlines.add("undelivered", "rtc_1", seconds=0)
    assert len(await deadlines.take(hold=0.05, at_most=AT_MOST)) == 1

    async def again() -> list[Due]:
        return await deadlines.take(hold=HOLD, at_most=AT_MOST)

    (due,) = await eventually(again)
    assert (due.reason, due.call_id) == ("undelivered", "rtc_1")
    assert due.late >= 0


async def test_a_hold_that_is_renewed_keeps_others_away_and_revives_nothing(
    deadlines: CallDeadlines, connection: StoreConnection
) -> None:
    for call_id in ("rtc_1", "rtc_2"):
        await deadlines.add("undelivered", call_id, seconds=0)
    taken = await deadlines.take(hold=0, at_most=AT_MOST)
    await deadlines.remove(Due("undelivered", "rtc_2"))
    await deadlines.hold(taken, seconds=HOLD)
    assert await deadlines.take(hold=HOLD, at_most=AT_MOST) == []
    assert await entries(connection) == ["undelivered:rtc_1"]


async def test_a_repeated_write_keeps_the_first_time(deadlines: CallDeadlines) -> None:
    await deadlines.add("undelivered", "rtc_1", seconds=0)
    await deadlines.add("undelivered", "rtc_1", seconds=LONG)
    assert len(await deadlines.take(hold=HOLD, at_most=AT_MOST)) == 1


async def test_a_slice_ends_when_no_call_of_it_can_live_and_is_gone_with_its_last_entry(
    deadlines: CallDeadlines, connection: StoreConnection
) -> None:
    name = keys.deadlines("rtc_1")
    await deadlines.add("undelivered", "rtc_1", seconds=LONG)
    assert (LONG + 3600) * 1000 < await raw(connection).pttl(name) <= (LONG + 3600 + 120) * 1000
    # A nearer deadline does not shorten it.
    await deadlines.add("lost", "rtc_1", seconds=0)
    assert await raw(connection).pttl(name) > (LONG + 3600) * 1000 - 60_000
    for due in (Due("undelivered", "rtc_1"), Due("lost", "rtc_1")):
        await deadlines.remove(due)
    assert await raw(connection).exists(name) == 0


async def test_a_reason_of_a_newer_release_is_left_to_it(
    deadlines: CallDeadlines, connection: StoreConnection
) -> None:
    await raw(connection).zadd(keys.deadlines("rtc_1"), {"whim:rtc_1": 1})
    assert await deadlines.take(hold=0, at_most=AT_MOST) == []
    assert await entries(connection) == ["whim:rtc_1"]


def test_calls_spread_over_the_slices() -> None:
    assert {keys.deadlines(f"rtc_{number}") for number in range(200)} == set(keys.ALL_DEADLINES)
