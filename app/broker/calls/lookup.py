"""How a handle stands, for its bearer: whether it opens a call, how often, until when. It spends nothing.

It tells nothing of what the handle is bound to, nor of who used it: a thief may ask, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.broker.claims import refused
from app.models import Clocks, HandleClaims
from app.store.records.claims import Standing
from app.store.records.handles import HandleStore
from app.telemetry.timings import Timings


@dataclass(frozen=True, slots=True)
class Told:
    """What the bearer is told. ``uses_left`` is None without a limit; ``seconds_left`` is by our clock."""

    state: Literal["live", "spent", "revoked"]
    uses_left: int | None
    expires_at: int
    seconds_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Looks a handle up, with one read at the store."""

    store: HandleStore
    clocks: Clocks

    async def tell(self, handle: HandleClaims, timings: Timings) -> Told:
        """Tell how a handle stands, at any replica.

        Raises:
            HandleExpired: it has expired meanwhile.
            Draining: only replicas of a newer release can read the handle's record.
            StoreUnavailable: the record could not be read.
        """
        self.store.require_up(handle.id)
        started = self.clocks.monotonic()
        try:
            standing = await self.store.standing(handle.id)
        finally:
            timings.store_took("find", started, self.clocks.monotonic())
        if not isinstance(standing, Standing):
            raise refused(handle.id, standing)
        left = _uses_left(standing)
        state: Literal["live", "spent"] = "spent" if left == 0 else "live"
        return Told(
            state="revoked" if standing.revoked else state,
            uses_left=0 if standing.revoked else left,
            expires_at=handle.expires_at,
            seconds_left=max(int(handle.expires_at - self.clocks.now()), 0),
        )


def _uses_left(standing: Standing) -> int | None:
    return max(standing.max_calls - standing.calls, 0) if standing.max_calls else None
