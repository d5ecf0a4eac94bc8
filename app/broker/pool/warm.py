"""The warm pool: hands out keys that were minted ahead, and mints the next ones in the background."""

from __future__ import annotations

from collections.abc import Sequence

from app.broker.pool.counts import PoolCounts
from app.broker.routing.attempts import Candidate, Granted, MintAttempts
from app.broker.session_policy import ModelPolicy
from app.handles.sealing import Sealer
from app.models import Clocks, MintRequest
from app.store.pools import PoolStore
from app.telemetry.timings import Timings


class WarmPool:
    """The pools of all models, as one replica uses them.

    Args:
        counts: is told of every take, and of what becomes of keys.
        hold: how long a key that is being minted counts as pending, in seconds: longer than any mint takes.
    """

    def __init__(
        self,
        *,
        store: PoolStore,
        attempts: MintAttempts,
        sealer: Sealer,
        counts: PoolCounts,
        clocks: Clocks,
        hold: float,
    ) -> None:
        raise NotImplementedError

    async def take(
        self, policy: ModelPolicy, request: MintRequest, candidates: Sequence[Candidate], timings: Timings
    ) -> Granted | None:
        """A key for this request, as a candidate would have given it; None where it must be minted.

        ``request`` is the caller's, ``candidates`` are as for ``MintAttempts.mint``. Never raises an error of
        the store or of a key. Begins to refill in the background.
        """
        raise NotImplementedError

    def saw(self, model: str, timings: Timings) -> None:
        """An ordinary mint of the model is over; where the provider refused it for now, the pool rests."""
        raise NotImplementedError

    def lose(self, model: str) -> None:
        """A key that was taken reached no caller."""
        raise NotImplementedError

    async def close(self, *, grace: float) -> None:
        """Begin no refill any more. Give those under way ``grace`` seconds, then take their marks back."""
        raise NotImplementedError
