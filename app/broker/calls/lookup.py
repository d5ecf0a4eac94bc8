"""How a handle stands, for its bearer: whether it opens a call, how often, until when. It spends nothing.

It tells nothing of what the handle is bound to, nor of who used it: a thief may ask, too. A record that was
changed in the store tells nothing at all, as it opens no call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.broker.claims import is_proven, refused
from app.broker.security.events import SecurityLog, record_refused
from app.errors import InvalidHandle
from app.handles.sealing import Sealer
from app.models import Clocks, HandleClaims
from app.store.records.claims import Held, Older
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
    """Looks a handle up, with one read at the store; ``security`` is told of records that were changed."""

    store: HandleStore
    sealer: Sealer
    security: SecurityLog
    clocks: Clocks

    async def tell(self, handle: HandleClaims, timings: Timings) -> Told:
        """Tell how a handle stands, at any replica.

        Raises:
            HandleExpired, InvalidHandle, Draining, StoreUnavailable: as ``find``.
        """
        held = await self.find(handle, timings)
        left = 0 if held.revoked else held.uses_left
        state: Literal["live", "spent"] = "spent" if left == 0 else "live"
        return Told(
            state="revoked" if held.revoked else state,
            uses_left=left,
            expires_at=handle.expires_at,
            seconds_left=max(int(handle.expires_at - self.clocks.now()), 0),
        )

    async def find(self, handle: HandleClaims, timings: Timings) -> Held:
        """The handle's record, as its mint and its uses left it.

        Raises:
            HandleExpired: it has expired meanwhile.
            InvalidHandle: its record was changed in the store.
            Draining: only replicas of a newer release can read the record.
            StoreUnavailable: the record could not be read.
        """
        self.store.require_up(handle.id)
        started = self.clocks.monotonic()
        try:
            found = await self.store.look(handle.id)
        finally:
            timings.store_took("find", started, self.clocks.monotonic())
        if isinstance(found, Held):
            if not is_proven(self.sealer, handle.id, found):
                raise self._changed(handle.id, found.whose, self._unproven(found))
            return found
        if isinstance(found, Older):
            raise self._changed(handle.id, (found.client, found.subject, found.model), "older")
        raise refused(handle.id, found)

    def _unproven(self, held: Held) -> str:
        """Why a proof does not hold, in the words of the relay."""
        knows = not held.proof or self.sealer.knows(held.proof)
        return "not_proven" if knows else "unknown_sealing_key"

    def _changed(self, handle_id: str, whose: tuple[str, str, str], reason: str) -> InvalidHandle:
        self.security.report(record_refused(handle_id, whose, reason))
        return InvalidHandle("This handle cannot be opened here. Mint a new one.")
