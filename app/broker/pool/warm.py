"""The warm pool: hands out keys that were minted ahead. The next ones are minted in the background.

Whatever goes wrong here, the mint asks the provider as it would without a pool.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.broker.pool.refill import Refill
from app.broker.pool.shapes import shape_of
from app.broker.pool.shelf import Order, Shelf
from app.broker.routing.attempts import Candidate, Granted
from app.broker.session_policy import ModelPolicy, usual_life
from app.errors import StoreUnavailable
from app.models import MintRequest
from app.telemetry.timings import TakeResult, Timings


class WarmPool:
    """The pools of all models, as one replica uses them."""

    def __init__(self, shelf: Shelf, refill: Refill) -> None:
        self._shelf = shelf
        self._refill = refill

    async def take(
        self, policy: ModelPolicy, request: MintRequest, candidates: Sequence[Candidate], timings: Timings
    ) -> Granted | None:
        """A key for this request, as a candidate would have given it; None where it must be minted.

        ``request`` is the caller's, ``candidates`` are as for ``MintAttempts.mint``. Begins to refill in the
        background. Never raises an error of the store.
        """
        granted, result = await self._taken(policy, request, candidates, timings)
        timings.pool = result
        self._shelf.counts.took(request.model, result)
        return granted

    def rests(self, model: str) -> float:
        """For how long this replica mints no key of a model, in seconds, since mints failed; 0: it may."""
        return self._refill.rests(model)

    async def close(self, *, grace: float) -> None:
        """End the refills: those under way have ``grace`` seconds."""
        await self._refill.close(grace=grace)

    async def _taken(
        self, policy: ModelPolicy, request: MintRequest, candidates: Sequence[Candidate], timings: Timings
    ) -> tuple[Granted | None, TakeResult]:
        model, shape = request.model, shape_of(self._shelf.sealer, request, candidates)
        if policy.pool is None or shape is None:
            return None, "unsuited"
        order = Order(model, policy.pool, usual_life(policy), shape, candidates)
        monotonic = self._shelf.clocks.monotonic
        sent = monotonic()
        try:
            took = await self._shelf.take(order)
        except StoreUnavailable:
            return None, "failed"
        finally:
            received = monotonic()
            timings.store_took("pool", sent, received)
        self._refill.wanted(order, took)
        if took.entry is None:
            return None, "empty"
        # The store may have told its time as soon as it was asked.
        left = (took.entry.ends_at - took.now) / 1000 - (received - sent)
        granted = self._shelf.opened(order, took.entry, left=left)
        if granted is None:
            self._refill.later(self._shelf.correct(order))
            return None, "failed"
        timings.deployment = granted.candidate.deployment.name
        self._shelf.counts.keys(model, "used")
        return granted, "hit"
