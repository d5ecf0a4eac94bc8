"""The stock of a warm pool in every kind of store: each key goes to one taker, and the bill is right."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.pools import MOST_SHAPES, PoolBill, PoolEntry, PoolStore, PoolWish, Swept
from app.store.scripts import POOL_RESERVE

SHAPE, OTHER_SHAPE = "k1.AbC+/0123456789abcdefgh", "k1.AbC+/0123456789abcdefgi"
# Longer than any test lasts.
LONG: Final = 600.0
_serial = itertools.count()


class Bench:
    """The pool of one model, through a store that the tests share."""

    def __init__(self, connection: StoreConnection, model: str) -> None:
        self.connection, self.model = connection, model
        self.store = PoolStore(connection)
        self.names = keys.pool(model)

    @property
    def raw(self) -> Any:
        """The driver's own client."""
        return self.connection._client.driver.client

    async def wanted(self, times: int = 1, shape: str = SHAPE) -> None:
        for _ in range(times):
            await self.store.take(self.model, shape, serves=LONG)

    async def reserve(self, goal: int, shape: str = SHAPE, **more: Any) -> Any:
        wish = {"most": 1000, "bound": 1000, "hold": LONG, **more}
        return await self.store.reserve(self.model, PoolWish(shape, goal, **wish))

    async def fill(
        self, number: int, shape: str = SHAPE, *, good: float = LONG, life: float = LONG
    ) -> list[str]:
        """Put so many keys into stock; returns their ids. ``good`` is how long they can be handed out."""
        marks = await self.reserve(1000, shape, most=number)
        assert len(marks.ids) == number
        for mark in marks.ids:
            entry = PoolEntry(mark, "main east", marks.now + int(life * 1000), f"k1.{mark}+/=")
            good_until = marks.now + int(good * 1000)
            assert await self.store.put(self.model, shape, entry, good_until=good_until)
        return list(marks.ids)

    async def take(self, shape: str = SHAPE) -> PoolEntry | None:
        return (await self.store.take(self.model, shape, serves=LONG)).entry

    async def bill(self) -> PoolBill:
        return (await self.store.state(self.model)).bill

    async def became(self, ids: list[str], shape: str = SHAPE) -> None:
        """Those keys have become too old meanwhile."""
        for member in await self.raw.zrange(self.names[0], 0, -1):
            of, _, entry = member.split("|")
            if of == shape and entry in ids:
                old = f"{of}|1000000000000|{entry}"
                await self.raw.zrem(self.names[0], member)
                await self.raw.zadd(self.names[0], {old: 0})
                await self.raw.hset(self.names[1], old, await self.raw.hget(self.names[1], member))
                await self.raw.hdel(self.names[1], member)


@pytest.fixture
def bench(connection: StoreConnection) -> Bench:
    return Bench(connection, f"voice {next(_serial)}")


async def test_an_empty_pool_gives_nothing_and_learns_what_is_wanted(bench: Bench) -> None:
    for number in range(1, 4):
        took = await bench.store.take(bench.model, SHAPE, serves=LONG)
        assert took.entry is None
        level = took.level
        assert (level.stock, level.pending, level.idle, level.serves) == (0, 0, 0.0, LONG)
        assert (level.minute, level.five, level.takes) == (number, number, number)
        assert (took.bill, took.swept) == (PoolBill(), Swept())


async def test_a_key_that_was_put_is_taken_once_and_as_it_was(bench: Bench) -> None:
    await bench.wanted()
    (mark,) = await bench.fill(1)
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    entry = took.entry
    assert entry is not None
    assert (entry.id, entry.deployment, entry.sealed) == (mark, "main east", f"k1.{mark}+/=")
    assert 0 < entry.ends_at - took.now <= LONG * 1000
    assert took.level.stock == 0
    assert took.bill == PoolBill(minted=1, used=1, hour_minted=1)
    assert await bench.take() is None
    assert await bench.bill() == PoolBill(minted=1, used=1, hour_minted=1)


async def test_the_key_that_becomes_too_old_first_goes_first(bench: Bench) -> None:
    await bench.wanted()
    late, early = await bench.fill(1, good=500), await bench.fill(1, good=100)
    assert [(await bench.take() or PoolEntry("", "", 0, "")).id for _ in range(2)] == [*early, *late]


async def test_of_many_takers_at_once_each_key_goes_to_one(bench: Bench, connection: StoreConnection) -> None:
    await bench.wanted(200)
    ids = await bench.fill(200)
    stores = [bench.store, PoolStore(connection)]
    taken = await asyncio.gather(
        *(stores[number % 2].take(bench.model, SHAPE, serves=LONG) for number in range(300))
    )
    assert sorted(took.entry.id for took in taken if took.entry is not None) == sorted(ids)
    assert await bench.bill() == PoolBill(minted=200, used=200, hour_minted=200)


async def test_other_shapes_and_other_models_have_keys_apart(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1)
    assert await bench.take(OTHER_SHAPE) is None
    assert (await bench.store.take(f"{bench.model}:other", SHAPE, serves=LONG)).entry is None
    assert await bench.take() is not None


async def test_replicas_that_ask_at_once_mint_no_more_than_is_missing(bench: Bench) -> None:
    await bench.wanted(20)
    await bench.fill(3)
    others = [PoolStore(bench.connection) for _ in range(6)]
    leaves = await asyncio.gather(
        *(other.reserve(bench.model, PoolWish(SHAPE, 20, 4, 1000, LONG)) for other in others)
    )
    assert sum(len(leave.ids) for leave in leaves) == 17
    assert len({mark for leave in leaves for mark in leave.ids}) == 17
    assert (await bench.reserve(20)).ids == ()
    assert (await bench.store.state(bench.model)).shapes[0].pending == 17


async def test_the_marks_of_a_replica_that_died_end_and_count_as_lost(bench: Bench) -> None:
    await bench.wanted(5)
    assert len((await bench.reserve(5)).ids) == 5
    assert (await bench.reserve(5)).ids == ()
    for mark in await bench.raw.zrange(bench.names[2], 0, -1):
        await bench.raw.zadd(bench.names[2], {mark: 1})
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert (took.level.pending, took.swept, took.bill.lost) == (0, Swept(lost=5), 5)
    assert len((await bench.reserve(5)).ids) == 5


async def test_a_key_whose_mark_was_over_does_not_come_into_stock(bench: Bench) -> None:
    await bench.wanted(2)
    leave = await bench.reserve(1)
    await bench.store.release(bench.model, SHAPE, leave.ids, lost=True)
    entry = PoolEntry(leave.ids[0], "main", leave.now + 10_000, "k1.x")
    assert not await bench.store.put(bench.model, SHAPE, entry, good_until=leave.now + 5_000)
    assert await bench.take() is None
    assert await bench.bill() == PoolBill(lost=1)


async def test_a_put_that_is_repeated_brings_no_key_back(bench: Bench) -> None:
    await bench.wanted()
    leave = await bench.reserve(2)
    entry = PoolEntry(leave.ids[0], "main", leave.now + 600_000, "k1.x")
    assert await bench.store.put(bench.model, SHAPE, entry, good_until=leave.now + 300_000)
    assert await bench.take() is not None
    assert not await bench.store.put(bench.model, SHAPE, entry, good_until=leave.now + 300_000)
    assert await bench.take() is None
    assert await bench.bill() == PoolBill(minted=1, used=1, hour_minted=1)


async def test_leave_that_is_asked_for_again_after_a_lost_reply_is_the_same(bench: Bench) -> None:
    await bench.wanted(5)
    args = (SHAPE, "nonce", 5, 1000, 3, 60_000)
    first = await bench.connection.run_script(POOL_RESERVE, bench.names, *args)
    again = await bench.connection.run_script(POOL_RESERVE, bench.names, *args)
    assert len(first[0]) == 3
    assert sorted(again[0]) == sorted(first[0])
    assert (await bench.store.state(bench.model)).shapes[0].pending == 3


async def test_a_put_brings_no_key_back_though_the_leave_for_it_was_repeated_too(bench: Bench) -> None:
    await bench.wanted(5)
    args = (SHAPE, "nonce", 5, 1000, 1, 60_000)
    (mark,), now, _ = await bench.connection.run_script(POOL_RESERVE, bench.names, *args)
    entry = PoolEntry(mark, "main", int(now) + 600_000, "k1.x")
    assert await bench.store.put(bench.model, SHAPE, entry, good_until=int(now) + 300_000)
    assert await bench.take() is not None
    # Both were stuck on their way, and arrive now.
    await bench.connection.run_script(POOL_RESERVE, bench.names, *args)
    assert not await bench.store.put(bench.model, SHAPE, entry, good_until=int(now) + 300_000)
    assert await bench.take() is None


async def test_in_a_minute_no_more_is_minted_than_was_taken_and_the_goal(bench: Bench) -> None:
    await bench.wanted(4)
    for _ in range(4):
        # Each comes to nothing, as where the provider fails, and was asked for all the same.
        leave = await bench.reserve(2)
        await bench.store.release(bench.model, SHAPE, leave.ids)
    assert (await bench.reserve(2)).ids == ()
    await bench.wanted()
    assert len((await bench.reserve(2)).ids) == 1


async def test_there_are_never_more_keys_of_all_shapes_than_the_bound(bench: Bench) -> None:
    await bench.wanted(10)
    await bench.wanted(10, OTHER_SHAPE)
    await bench.fill(5)
    assert len((await bench.reserve(10, OTHER_SHAPE, bound=8)).ids) == 3
    assert (await bench.reserve(10, bound=8)).ids == ()


async def test_what_is_too_old_makes_room_whichever_shape_it_is_of(bench: Bench) -> None:
    await bench.wanted(10)
    await bench.wanted(10, OTHER_SHAPE)
    await bench.became(await bench.fill(5))
    leave = await bench.reserve(10, OTHER_SHAPE, bound=5)
    assert (len(leave.ids), leave.swept) == (5, Swept(wasted=5))


async def test_a_key_that_is_too_old_is_thrown_away_and_counted_once(bench: Bench) -> None:
    await bench.wanted()
    old = await bench.fill(2)
    (good,) = await bench.fill(1)
    await bench.became(old)
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert took.entry is not None
    assert took.entry.id == good
    assert took.swept == Swept(wasted=2)
    assert took.bill == PoolBill(minted=3, used=1, wasted=2, hour_minted=3, hour_wasted=2)
    assert (await bench.store.state(bench.model)).swept == Swept()
    assert await bench.raw.hlen(bench.names[1]) == 0


async def test_who_looks_throws_away_too(bench: Bench) -> None:
    await bench.wanted(3)
    await bench.became(await bench.fill(2))
    state = await bench.store.state(bench.model)
    assert (state.swept, state.bill.wasted, state.shapes[0].stock) == (Swept(wasted=2), 2, 0)


async def test_a_key_that_was_good_for_a_moment_is_not_handed_out_after_it(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1, good=0.001)
    await asyncio.sleep(0.05)
    assert await bench.take() is None
    assert (await bench.bill()).wasted == 1


async def test_the_bill_is_corrected_for_a_key_that_was_of_no_use(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1)
    assert await bench.take() is not None
    assert await bench.store.release(bench.model, SHAPE, (), unused=1) == 1
    assert await bench.bill() == PoolBill(minted=1, lost=1, hour_minted=1)


async def test_what_was_wasted_more_than_an_hour_ago_counts_no_more(bench: Bench) -> None:
    await bench.wanted()
    (_, *_, bill) = bench.names
    now = int((await bench.store.take(bench.model, SHAPE, serves=LONG)).now // 600_000)
    fields = {"minted": 70, "wasted": 40, f"minted_{now - 7}": 60, f"wasted_{now - 7}": 40}
    await bench.raw.hset(bill, mapping={**fields, f"minted_{now - 5}": 10})
    assert await bench.bill() == PoolBill(minted=70, wasted=40, hour_minted=10)
    assert sorted(await bench.raw.hkeys(bill)) == ["minted", f"minted_{now - 5}", "wasted"]


async def test_takes_move_out_of_the_last_minute_and_then_out_of_the_last_five(bench: Bench) -> None:
    await bench.wanted()
    now = (await bench.store.take(bench.model, SHAPE, serves=LONG)).now
    shapes, span = bench.names[3], now // 10_000

    async def level(spans: int) -> tuple[int, int]:
        kept = f"{now} 9 600000 {span - spans} 1,2,3 1,1"
        await bench.raw.hset(shapes, SHAPE, kept)
        (found,) = (await bench.store.state(bench.model)).shapes
        return found.minute, found.five

    # The span may change while the test runs.
    assert await level(0) in ((6, 6), (6, 6))
    assert await level(3) in ((6, 6), (3, 6))
    assert await level(7) == (0, 6)
    assert await level(40) == (0, 0)


async def test_demand_after_a_pause_that_no_key_would_serve_begins_anew(bench: Bench) -> None:
    now = (await bench.store.take(bench.model, SHAPE, serves=LONG)).now
    await bench.raw.hset(bench.names[3], SHAPE, f"{now - 700_000} 9 600000 {now // 10_000 - 70} 5 0")
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert (took.level.takes, took.level.five) == (1, 1)


async def test_how_long_keys_serve_is_learnt_from_the_last_one(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1, good=30)
    (level,) = (await bench.store.state(bench.model)).shapes
    assert 25 < level.serves <= 30


async def test_sessions_that_come_once_each_push_out_no_session_that_is_wanted_and_fill_no_memory(
    bench: Bench,
) -> None:
    await bench.wanted(3)
    await bench.fill(2)
    for number in range(2 * MOST_SHAPES):
        await bench.wanted(shape=f"k1.once{number:017d}")
    assert await bench.raw.hlen(bench.names[3]) == MOST_SHAPES
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert took.entry is not None
    assert took.level.takes == 4


async def test_where_every_session_has_keys_a_new_one_is_not_watched(bench: Bench) -> None:
    for number in range(MOST_SHAPES):
        shape = f"k1.kept{number:017d}"
        await bench.wanted(shape=shape)
        await bench.fill(1, shape)
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert (took.entry, took.level.takes) == (None, 0)
    assert (await bench.reserve(5)).ids == ()


async def test_the_state_tells_of_each_session_the_last_one_first(bench: Bench) -> None:
    assert (await bench.store.state(bench.model)).shapes == ()
    await bench.wanted(2)
    await bench.fill(1)
    await asyncio.sleep(0.01)
    await bench.wanted(1, OTHER_SHAPE)
    state = await bench.store.state(bench.model)
    assert [(level.shape, level.stock, level.minute) for level in state.shapes] == [
        (OTHER_SHAPE, 0, 1),
        (SHAPE, 1, 2),
    ]


async def test_everything_of_a_pool_has_an_end(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1, life=60)
    await bench.reserve(5)
    lives = [await bench.raw.pttl(name) for name in bench.names]
    assert all(life > 0 for life in lives), lives
    assert lives[1] <= 60_000, "no sealed key is kept beyond its life"


async def test_a_key_that_is_gone_from_the_store_is_lost_and_the_mint_goes_on(bench: Bench) -> None:
    await bench.wanted()
    await bench.fill(1)
    await bench.raw.delete(bench.names[1])
    took = await bench.store.take(bench.model, SHAPE, serves=LONG)
    assert (took.entry, took.swept, took.bill.lost, took.bill.used) == (None, Swept(lost=1), 1, 0)
