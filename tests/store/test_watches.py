"""Watches of metered calls in every kind of store: one watcher a call, its sums kept, one record."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.watches import Sums, Taken, Watches, watching

# Long enough for what stands between a take and the next line of a test, on a busy machine too.
HOLD: Final = 60.0
AT_MOST: Final = 1_000
CALL: Final = "rtc_1"


@pytest.fixture
async def watches(connection: StoreConnection) -> Watches:
    """Watches of a store that has no other ones, and no records."""
    client = raw(connection)
    await client.delete(keys.USAGE)
    await client.delete(keys.watches())
    await client.delete(keys.sums(CALL))
    return Watches(connection, hold=HOLD, records=1_000)


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


async def add(connection: StoreConnection, *call_ids: str) -> None:
    await connection.run_scripts(*(watching(call_id) for call_id in call_ids))


async def take(watches: Watches) -> Taken:
    (taken,) = await watches.take(at_most=AT_MOST)
    return taken


async def run_out(connection: StoreConnection, call_id: str = CALL) -> None:
    """The hold of a watcher that died is over."""
    await raw(connection).zadd(keys.watches(), {call_id: 1})


async def recorded(connection: StoreConnection) -> list[dict[str, str]]:
    return [fields for _, fields in await raw(connection).xrange(keys.USAGE)]


async def test_of_many_that_take_at_once_one_gets_each(watches: Watches, connection: StoreConnection) -> None:
    ids = {f"rtc_many_{number}" for number in range(50)}
    await add(connection, *ids)
    taken = await asyncio.gather(*(watches.take(at_most=AT_MOST) for _ in range(6)))
    found = [one for some in taken for one in some]
    assert sorted(one.call_id for one in found) == sorted(ids)
    assert {one.turn for one in found} == {1}
    for one in found:
        await watches.write(one.call_id, one.turn, {"call": one.call_id})


async def test_no_more_are_taken_than_asked_for(watches: Watches, connection: StoreConnection) -> None:
    await add(connection, *(f"rtc_few_{number}" for number in range(5)))
    assert [len(await watches.take(at_most=3)), len(await watches.take(at_most=3))] == [3, 2]


async def test_another_one_goes_on_from_the_sums_of_one_that_died(
    watches: Watches, connection: StoreConnection
) -> None:
    await add(connection, CALL)
    first = await take(watches)
    assert (first.turn, first.sums) == (1, Sums())
    sums = Sums(figures={"responses": 3, "answer_seconds": 4.55}, model="m", gaps=1, gap_seconds=2.5)
    assert await watches.keep([CALL], {CALL: (1, sums)}) == set()
    assert await watches.take(at_most=AT_MOST) == []
    await run_out(connection)
    second = await take(watches)
    assert (second.turn, second.sums) == (2, sums)
    # It may have died just after it had renewed its hold.
    assert second.unwatched > HOLD


async def test_one_that_leaves_in_order_is_followed_at_once(
    watches: Watches, connection: StoreConnection
) -> None:
    await add(connection, CALL)
    await take(watches)
    await watches.release({CALL: (1, Sums(figures={"responses": 1}))})
    second = await take(watches)
    assert (second.turn, second.sums.figures) == (2, {"responses": 1})
    assert second.unwatched < HOLD
    await run_out(connection)
    assert (await take(watches)).unwatched > HOLD


async def test_a_watcher_that_stood_still_changes_nothing(
    watches: Watches, connection: StoreConnection
) -> None:
    await add(connection, CALL)
    await take(watches)
    await run_out(connection)
    await take(watches)
    assert await watches.keep([CALL], {CALL: (1, Sums(figures={"responses": 9}))}) == {CALL}
    assert not await watches.write(CALL, 1, {"call": CALL})
    assert await recorded(connection) == []
    assert await watches.keep([CALL], {CALL: (2, Sums(figures={"responses": 2}))}) == set()
    assert await watches.write(CALL, 2, {"call": CALL, "responses": 2})
    assert await recorded(connection) == [{"call": CALL, "responses": "2"}]


async def test_a_record_is_written_once_though_it_is_repeated_and_the_call_added_again(
    watches: Watches, connection: StoreConnection
) -> None:
    await add(connection, CALL)
    taken = await take(watches)
    assert await watches.write(CALL, taken.turn, {"call": CALL, "seconds": 1.25, "gaps": 0})
    assert not await watches.write(CALL, taken.turn, {"call": CALL})
    # A settlement whose reply was lost is repeated.
    await add(connection, CALL)
    assert await watches.take(at_most=AT_MOST) == []
    assert await raw(connection).zscore(keys.watches(), CALL) is None
    assert await recorded(connection) == [{"call": CALL, "seconds": "1.25", "gaps": "0"}]


async def test_the_stream_keeps_about_so_many_records(connection: StoreConnection) -> None:
    few = Watches(connection, hold=HOLD, records=100)
    await raw(connection).delete(keys.USAGE)
    ids = [f"rtc_full_{number}" for number in range(400)]
    await add(connection, *ids)
    for taken in await few.take(at_most=AT_MOST):
        await few.write(taken.call_id, taken.turn, {"call": taken.call_id})
    assert 100 <= await raw(connection).xlen(keys.USAGE) < 300


async def test_nothing_of_a_call_stays_without_an_expiry(
    watches: Watches, connection: StoreConnection
) -> None:
    await add(connection, CALL)
    assert await raw(connection).pttl(keys.watches()) > 0
    taken = await take(watches)
    assert await raw(connection).pttl(keys.sums(CALL)) > 0
    await watches.write(CALL, taken.turn, {"call": CALL})
    assert 0 < await raw(connection).pttl(keys.sums(CALL)) <= 600_000
