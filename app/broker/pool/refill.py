"""Mints the keys of the pools, in the background of replicas that see takes. While none comes, nothing runs.

The provider's rate limit is shared with ordinary mints, which go first. So there are a few mints at once, and
only at deployments that neither failed just now nor asked for a pause. Each of these is asked once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from app.broker.pool.demand import at_once, bound_of, goal_of
from app.broker.pool.shapes import pooled
from app.broker.pool.shelf import Leave, Order, Shelf
from app.broker.routing.attempts import Candidate, MintAttempts
from app.broker.routing.breaker import Breakers
from app.errors import CloakroomError, StoreUnavailable
from app.models import Clocks, value
from app.store.pools import PoolEntry, PoolTake, PoolWish
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.pool")

# After a mint that failed, no key of its shape is minted for so long, in seconds: twice as long each time.
FIRST_REST_SECONDS: Final = 1.0
LONGEST_REST_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 10
# A replica remembers the rests of so many shapes.
_MOST_RESTS: Final = 1000
# A mint is thought to take so long until some were seen, in seconds.
_USUAL_MINT_SECONDS: Final = 0.5
# The share of the newest mint in what they take on average.
_NEWEST: Final = 0.2
# The pauses before each try to put a key into stock, in seconds.
_TRIES_TO_PUT: Final = (0.0, 0.2, 1.0)


@value
class _Wish:
    """How many keys of an order there should be, and how many to mint at once."""

    order: Order
    goal: int
    bound: int
    at_once: int


@dataclass(slots=True)
class _Rest:
    until: float = 0.0
    failures: int = 0


class Refill:
    """Keeps the pools at their goals.

    Args:
        hold: how long a key that is being minted counts as pending, in seconds: longer than any mint takes.
    """

    def __init__(
        self, shelf: Shelf, attempts: MintAttempts, breakers: Breakers, *, clocks: Clocks, hold: float
    ) -> None:
        self._shelf = shelf
        self._attempts = attempts
        self._breakers = breakers
        self._clocks = clocks
        self._hold = hold
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[tuple[str, str]] = set()
        self._waiting: dict[tuple[str, str], _Wish] = {}
        # Mints in flight by model, and the marks of all of them.
        self._minting: Counter[str] = Counter()
        self._marks: dict[str, tuple[str, str]] = {}
        self._rests: dict[tuple[str, str], _Rest] = {}
        self._turned_down: set[str] = set()
        self._mint_seconds = _USUAL_MINT_SECONDS

    def wanted(self, order: Order, took: PoolTake) -> None:
        """A take found the pool so. Returns at once."""
        level, policy = took.level, order.policy
        by_demand, bound = goal_of(level, target=policy.target), bound_of(took.bill, policy)
        goal = min(by_demand, bound)
        self._tell(order.model, took, turned_down=goal < by_demand and took.bill.hour_wasted > 0)
        if level.stock + level.pending < goal:
            most = at_once(level, goal, mint_seconds=self._mint_seconds)
            self._begin(_Wish(order, goal, bound, most))

    def rests(self, model: str) -> float:
        """For how long no key of this model is minted, in seconds, since mints failed; 0 where one is."""
        now = self._clocks.monotonic()
        left = [rest.until - now for place, rest in self._rests.items() if place[0] == model]
        return 0.0 if self._minting[model] else max([*left, 0.0])

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background. ``close`` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, *, grace: float) -> None:
        """Begin nothing more, give what is under way ``grace`` seconds, then take the marks back."""
        self._closing = True
        deadline = self._clocks.monotonic() + grace
        # A mint that ends may leave its key to be put into stock.
        while self._tasks and self._clocks.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=max(deadline - self._clocks.monotonic(), 0.0))
        unfinished = list(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        left = defaultdict(list)
        for mark, place in self._marks.items():
            left[place].append(mark)
        for place, marks in left.items():
            await self._shelf.give_back(place, marks, lost=True)

    def _begin(self, wish: _Wish) -> None:
        order = wish.order
        if self._closing or self._rests_now(order) or not self._calm(order):
            return
        free = wish.at_once - self._minting[order.model]
        if free <= 0 or order.place in self._asking:
            self._waiting[order.place] = wish
            return
        self._asking.add(order.place)
        self.later(self._reserve(wish, free))

    def _go_on(self, model: str) -> None:
        """Begin with what had to wait."""
        for place in [place for place in self._waiting if place[0] == model]:
            self._begin(self._waiting.pop(place))

    def _calm(self, order: Order) -> list[Candidate]:
        """Whom to ask now. Where a deployment is in trouble, ordinary mints go first."""
        return [one for one in order.candidates if self._breakers.is_calm(one.deployment.name)]

    async def _reserve(self, wish: _Wish, most: int) -> None:
        order = wish.order
        try:
            leave = await self._shelf.reserve(
                order, PoolWish(order.shape, wish.goal, most, wish.bound, self._hold)
            )
        except StoreUnavailable:
            return
        finally:
            self._asking.discard(order.place)
        if self._closing:
            await self._shelf.give_back(order.place, leave.marks, lost=False)
            return
        for mark in leave.marks:
            self._marks[mark] = order.place
            self._minting[order.model] += 1
            self.later(self._mint(order, mark, leave))
        if len(leave.marks) == most:
            # There may be more to mint once one of these is done.
            self._waiting.setdefault(order.place, wish)
        self._go_on(order.model)

    async def _mint(self, order: Order, mark: str, leave: Leave) -> None:
        """Mint one key and put it into stock. One that is cancelled keeps its mark, for ``close``."""
        timings, started = Timings(model=order.model), self._clocks.monotonic()
        try:
            asked = pooled(self._calm(order), seconds=2 * order.usual)
            if asked:
                granted = await self._attempts.mint(asked, timings, once=True)
                entry, good_until = self._shelf.sealed(order, mark, granted, leave)
                self._succeeded(order, started)
                await self._put(order, entry, good_until)
            else:
                await self._shelf.give_back(order.place, (mark,), lost=False)
        except (CloakroomError, ValueError) as failure:
            self._failed(order, failure)
            await self._shelf.give_back(order.place, (mark,), lost=isinstance(failure, ValueError))
        finally:
            self._minting[order.model] -= 1
            self._shelf.counts.tried(timings)
        del self._marks[mark]
        self._go_on(order.model)

    async def _put(self, order: Order, entry: PoolEntry, good_until: int) -> None:
        for pause in _TRIES_TO_PUT:
            await asyncio.sleep(pause)
            try:
                await self._shelf.put(order, entry, good_until)
            except StoreUnavailable:
                continue
            return
        # The store counts it as lost when the time of its mark is over.
        log.warning("pool_key_not_stored", model=order.model, deployment=entry.deployment)

    def _succeeded(self, order: Order, started: float) -> None:
        self._rests.pop(order.place, None)
        self._mint_seconds += _NEWEST * (self._clocks.monotonic() - started - self._mint_seconds)

    def _failed(self, order: Order, failure: CloakroomError | ValueError) -> None:
        # Of the mints that were under way together, the first one counts.
        if self._rests_now(order):
            return
        if len(self._rests) >= _MOST_RESTS:
            self._rests.clear()
        rest = self._rests.setdefault(order.place, _Rest())
        seconds = min(FIRST_REST_SECONDS * 2.0**rest.failures, LONGEST_REST_SECONDS)
        rest.until = self._clocks.monotonic() + seconds
        rest.failures = min(rest.failures + 1, _MOST_DOUBLINGS)
        reason = failure.message if isinstance(failure, CloakroomError) else str(failure)
        log.warning("pool_rests", model=order.model, seconds=seconds, reason=reason)

    def _rests_now(self, order: Order) -> bool:
        rest = self._rests.get(order.place)
        return rest is not None and rest.until > self._clocks.monotonic()

    def _tell(self, model: str, took: PoolTake, *, turned_down: bool) -> None:
        """Log when waste turns a pool down, and when it comes back."""
        if turned_down is (model in self._turned_down):
            return
        about = {"model": model, "minted": took.bill.hour_minted, "wasted": took.bill.hour_wasted}
        if turned_down:
            self._turned_down.add(model)
            log.warning("pool_turned_down", **about)
        else:
            self._turned_down.discard(model)
            log.info("pool_turned_up", **about)
