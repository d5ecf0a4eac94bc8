"""Promise 19 on bad connections: a key is handed out once, though commands are cut, delayed and repeated.

Two connections, as two replicas have them, reserve, put and take at once, each behind a fault proxy. Keys are
numbered in place of a provider's. A key that was put twice, or that comes back after it was taken since a
repeated command put it there again, would be handed out twice. ``pools`` has whole replicas that are killed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from structlog.testing import capture_logs

from app.errors import StoreUnavailable
from app.store.embedded.engine import LocalEngine
from app.store.pools import PoolEntry, PoolStore, PoolWish
from tests.faults.drill import Drill, Figures, Progress
from tests.support.clocks import eventually
from tests.support.connected import connected
from tests.support.fault_proxy import Fault, FaultProxy

MODEL: Final = "realtime-pooled"
SHAPES: Final = ("one", "two")
RATES: Final[Mapping[Fault, float]] = {
    Fault.DELAY: 0.03,
    Fault.LATE_REPLY: 0.03,
    Fault.REPEAT: 0.1,
    Fault.LATE_REPEAT: 0.1,
    Fault.CUT: 0.02,
    Fault.DROPPED_REPLY: 0.02,
    # Longer than the store's deadline: it costs seconds, so it is rare.
    Fault.STALL: 0.0003,
}
TAKERS: Final = 16
MINTERS: Final = 8
_STORE_SECONDS: Final = 0.8
_STALL_SECONDS: Final = 0.9
_GOAL: Final = 300
_AT_ONCE: Final = 8
# A key that is minted for longer counts as lost.
_HOLD_SECONDS: Final = 2.0
_LIFE_MS: Final = 3_600_000
_SERVES_SECONDS: Final = 1800.0
# A late repeat comes within this time.
_LATE_SECONDS: Final = 1.0


@dataclass(slots=True)
class Tally:
    """What came of it. ``put`` are keys that are in stock for certain, or may be."""

    put: int = 0
    too_late: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    not_known: Counter[str] = field(default_factory=Counter)
    serials: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def twice(self) -> int:
        return sum(count > 1 for count in self.taken.values())


class Rival:
    """What one replica does with the pool; the provider is a row of numbers."""

    def __init__(self, store: PoolStore, tally: Tally, ended: asyncio.Event) -> None:
        self._store = store
        self._tally = tally
        self._ended = ended

    async def mint(self, shape: str) -> None:
        """Reserve, and put what was reserved, again and again."""
        wish = PoolWish(shape, goal=_GOAL, most=_AT_ONCE, bound=_GOAL * len(SHAPES), hold=_HOLD_SECONDS)
        while not self._ended.is_set():
            try:
                marks = await self._store.reserve(MODEL, wish)
            except StoreUnavailable:
                self._tally.not_known["reserve"] += 1
                await asyncio.sleep(0.05)
                continue
            await asyncio.gather(*[self._put(shape, mark, marks.now) for mark in marks.ids])
            if not marks.ids:
                await asyncio.sleep(0.01)

    async def _put(self, shape: str, mark: str, now: int) -> None:
        entry = PoolEntry(
            id=mark, deployment="openai", ends_at=now + _LIFE_MS, sealed=f"key-{next(self._tally.serials)}"
        )
        self._tally.put += 1
        # As a refill does, which repeats what got no reply.
        for _ in range(2):
            try:
                kept = await self._store.put(MODEL, shape, entry, good_until=now + _LIFE_MS // 2)
            except StoreUnavailable:
                self._tally.not_known["put"] += 1
            else:
                self._tally.too_late += not kept
                return

    async def take_until(self, wanted: int) -> None:
        """Take until so many keys are out."""
        for turn in itertools.count():
            if self._tally.taken.total() >= wanted:
                return
            if not await self.take(SHAPES[turn % len(SHAPES)]):
                await asyncio.sleep(0.01)

    async def take(self, shape: str) -> bool:
        """Take one; False where there was none, or it is not known."""
        try:
            found = await self._store.take(MODEL, shape, serves=_SERVES_SECONDS)
        except StoreUnavailable:
            self._tally.not_known["take"] += 1
            return False
        if found.entry is None:
            self._tally.empty += 1
            return False
        self._tally.taken[found.entry.sealed] += 1
        return True

    async def empty(self, shape: str) -> None:
        """Take all that is left."""
        while await self.take(shape):
            pass


async def wire(progress: Progress, rounds: int) -> Figures:
    """Take so many keys, and then all that are left."""
    tally, ended = Tally(), asyncio.Event()
    with capture_logs(), LocalEngine() as engine:
        async with (
            FaultProxy(engine.port, RATES, seed=1, stall=_STALL_SECONDS) as first,
            FaultProxy(engine.port, RATES, seed=2, stall=_STALL_SECONDS) as second,
            connected(first.url_instead_of(engine.url), "replica-a", timeout=_STORE_SECONDS) as a,
            connected(second.url_instead_of(engine.url), "replica-b", timeout=_STORE_SECONDS) as b,
        ):
            proxies, stores = (first, second), [PoolStore(one) for one in (a, b)]
            rivals = [Rival(store, tally, ended) for store in stores]
            async with asyncio.TaskGroup() as group:
                for number in range(MINTERS):
                    group.create_task(rivals[number % 2].mint(SHAPES[number // 2 % 2]))
                taking = [
                    group.create_task(rivals[number % 2].take_until(rounds)) for number in range(TAKERS)
                ]
                while not all(task.done() for task in taking):
                    await asyncio.wait(taking, timeout=1)
                    progress.at(min(tally.taken.total(), rounds), rounds, f"keys taken, {tally.twice} twice")
                    assert not tally.twice, f"{tally.twice} of {tally.taken.total():,} keys were taken twice"
                ended.set()
            # What is still on its way may put keys back.
            await asyncio.sleep(_LATE_SECONDS)
            for proxy in proxies:
                proxy.quiet = True
            await eventually(lambda: a.up and b.up, "a store that answers")
            for rival, shape in itertools.product(rivals, SHAPES):
                await rival.empty(shape)
            state = await stores[0].state(MODEL)
            struck = first.struck + second.struck
    figures: Figures = {
        "keys taken": tally.taken.total(),
        "taken twice": tally.twice,
        "keys put": tally.put,
        "put too late": tally.too_late,
        "that no one got": tally.put - len(tally.taken),
        "takes of an empty pool": tally.empty,
        **{f"no reply to a {what}": count for what, count in sorted(tally.not_known.items())},
        "the bill: minted": state.bill.minted,
        "the bill: used": state.bill.used,
        "the bill: wasted": state.bill.wasted,
        "the bill: lost": state.bill.lost,
        **{f"faults: {fault.value}": struck[fault] for fault in Fault},
    }
    assert tally.twice == 0, figures
    # A key whose take got no reply is out, too, and no one has it.
    assert state.bill.minted == state.bill.used + state.bill.wasted, figures
    assert sum(level.stock for level in state.shapes) == 0, figures
    return figures


DRILLS: Final = (Drill("pool-wire", "19", minutes=1.5, rounds=100_000, run=wire),)
