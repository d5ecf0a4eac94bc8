"""The shelf of a pool: keys are put on it sealed, and taken from it once; what becomes of them is counted.

A sealed key opens only as what it was sealed as: a key of this model, shape and deployment with this end. So
one that was swapped or changed in the store is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from app.broker.pool.counts import PoolCounts
from app.broker.routing.attempts import Candidate, Granted
from app.broker.session_policy import PoolPolicy
from app.errors import StoreUnavailable, UpstreamError
from app.handles.grants import open_pooled, seal_pooled
from app.handles.lifetimes import least_left, own_life
from app.handles.sealing import Sealer, UnsealError
from app.models import Clocks, value
from app.store.pools import PoolEntry, PoolStore, PoolTake, PoolWish

log = structlog.get_logger("cloakroom.pool")


@value
class Order:
    """What a mint wanted: the model, its policy and usual life in seconds, the shape, whom to ask for it."""

    model: str
    policy: PoolPolicy
    usual: int
    shape: str
    candidates: Sequence[Candidate]

    @property
    def place(self) -> tuple[str, str]:
        return self.model, self.shape


@value
class Leave:
    """Leave to mint keys, one for each mark.

    ``then`` is the latest moment, on the monotonic clock, at which the store's clock can have been ``told``.
    """

    marks: Sequence[str]
    told: int
    then: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The stock of all models, as one replica sees it."""

    store: PoolStore
    sealer: Sealer
    counts: PoolCounts
    clocks: Clocks

    async def take(self, order: Order) -> PoolTake:
        """Take a key.

        Raises:
            StoreUnavailable: whether one was taken is not known; then no one has it.
        """
        took = await self.store.take(order.model, order.shape, serves=order.usual)
        self.counts.swept(order.model, took.swept)
        return took

    def opened(self, order: Order, entry: PoolEntry, *, left: float) -> Granted | None:
        """What an entry holds; None where it is of no use. ``left`` is the rest of its life, in seconds."""
        candidate = next((one for one in order.candidates if one.deployment.name == entry.deployment), None)
        try:
            context = (*order.place, entry.deployment, entry.id, str(entry.ends_at))
            grant, session = open_pooled(self.sealer, entry.sealed, *context)
            life = own_life(left, now=self.clocks.now())
        except UnsealError:
            # Someone changed or swapped it, or this replica does not have the key that sealed it.
            log.error("pool_key_refused", model=order.model, reason="not_unsealed")
            return None
        except UpstreamError:
            log.warning("pool_key_refused", model=order.model, reason="expired")
            return None
        if candidate is None:
            log.warning("pool_key_refused", model=order.model, reason="no_deployment")
            return None
        return Granted(candidate, grant, session, life)

    async def correct(self, order: Order) -> None:
        """A key that was taken was of no use: it counts as lost."""
        try:
            lost = await self.store.release(order.model, order.shape, (), unused=1)
        except StoreUnavailable:
            log.warning("pool_bill_not_corrected", model=order.model)
        else:
            self.counts.keys(order.model, "lost", lost)

    async def reserve(self, order: Order, wish: PoolWish) -> Leave:
        """Ask for leave to mint.

        Raises:
            StoreUnavailable: it was not given; marks that were made end by themselves.
        """
        marks = await self.store.reserve(order.model, wish)
        then = self.clocks.monotonic()
        self.counts.swept(order.model, marks.swept)
        return Leave(marks.ids, marks.now, then)

    async def put(self, order: Order, entry: PoolEntry, good_until: int) -> None:
        """Put a key into stock.

        Raises:
            StoreUnavailable: it may be there; this may be repeated.
        """
        if await self.store.put(order.model, order.shape, entry, good_until=good_until):
            self.counts.keys(order.model, "minted")

    def sealed(self, order: Order, mark: str, granted: Granted, leave: Leave) -> tuple[PoolEntry, int]:
        """A key as the store keeps it, and until when it may be handed out, on the store's clock.

        Raises:
            ValueError: the provider's session cannot be written.
        """
        seconds, now = granted.life.seconds, self.clocks.monotonic()
        ends_at = leave.told + int((now - leave.then + seconds) * 1000)
        good_until = ends_at - int(least_left(seconds, usual=order.usual) * 1000)
        deployment = granted.candidate.deployment.name
        context = (*order.place, deployment, mark, str(ends_at))
        sealed = seal_pooled(self.sealer, granted.grant, granted.session, *context)
        return PoolEntry(mark, deployment, ends_at, sealed), good_until

    async def give_back(self, place: tuple[str, str], marks: Sequence[str], *, lost: bool) -> None:
        """Take marks back, or let them end later. ``lost``: the provider may have minted their keys."""
        model, shape = place
        try:
            self.counts.keys(model, "lost", await self.store.release(model, shape, marks, lost=lost))
        except StoreUnavailable:
            log.warning("pool_marks_left", model=model, marks=len(marks))
