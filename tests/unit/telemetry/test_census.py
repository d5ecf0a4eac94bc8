"""The count of what is alive: in the background, seldom, and no old number once the store is down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.errors import StoreUnavailable
from app.telemetry.scrape import COUNT_EVERY_SECONDS, Alive, Census


@dataclass(frozen=True)
class Found:
    handles: int
    calls: int


class Store:
    """Counts when it is let, and says how often it was asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.down = False
        self.let = asyncio.Event()
        self.let.set()
        self.census = Census(self.count, monotonic=lambda: self.now)

    async def count(self) -> Alive:
        self.asked += 1
        await self.let.wait()
        if self.down:
            raise StoreUnavailable("Away.")
        return Found(self.asked, 0)

    async def settled(self) -> None:
        task = self.census._task
        assert task is not None
        await task


async def test_nobody_counts_before_somebody_asks_and_the_first_one_gets_nothing() -> None:
    store = Store()
    await asyncio.sleep(0)
    assert store.asked == 0
    assert store.census.latest() is None
    await store.settled()
    assert store.census.latest() == Found(1, 0)


async def test_it_counts_at_most_once_in_its_time_however_often_it_is_asked() -> None:
    store = Store()
    for _ in range(50):
        store.census.latest()
        await store.settled()
    assert store.asked == 1
    store.now += COUNT_EVERY_SECONDS
    assert store.census.latest() == Found(1, 0)
    await store.settled()
    assert store.census.latest() == Found(2, 0)


async def test_a_count_that_hangs_is_not_joined_by_a_second_one() -> None:
    store = Store()
    store.let.clear()
    store.census.latest()
    await asyncio.sleep(0)
    store.now += 10 * COUNT_EVERY_SECONDS
    assert store.census.latest() is None
    await asyncio.sleep(0)
    assert store.asked == 1
    await store.census.close()


async def test_a_count_that_failed_leaves_no_old_number_behind() -> None:
    store = Store()
    store.census.latest()
    await store.settled()
    store.down, store.now = True, store.now + COUNT_EVERY_SECONDS
    assert store.census.latest() is not None
    await store.settled()
    assert store.census.latest() is None


async def test_closing_ends_a_count_under_way_and_is_fine_without_one() -> None:
    store = Store()
    await store.census.close()
    store.let.clear()
    store.census.latest()
    await asyncio.sleep(0)
    await store.census.close()
    assert store.census._task is not None
    assert store.census._task.cancelled()
