"""Calls that no browser holds, and the time after which they are hung up.

A call is an orphan when its answer was written to a connection that had ended, or when it came after its
caller had been told that the outcome is not known. While the answer is kept, a browser may still fetch it
with the same offer, at any replica. Then the call is no orphan any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from app.broker.settlement import Settlement
from app.models import Clocks
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines, Due, Reason

log = structlog.get_logger("cloakroom.orphans")

# A relay of the same offer that found the answer just before its end is given this long to deliver it.
DELIVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Notes orphans in the store, where every replica sees them. ``OverdueCalls`` hangs them up.

    Args:
        grace: seconds that a browser has to fetch an answer that did not reach it; 0: such calls stay.
        hang_up_lost: whether a call is hung up whose answer came too late.
        count: counts an orphan.
    """

    deadlines: CallDeadlines
    calls: CallStore
    settlement: Settlement
    grace: float
    hang_up_lost: bool
    count: Callable[[Reason], None]
    clocks: Clocks

    def undelivered(self, handle_id: str, call_id: str | None) -> None:
        """The answer of this call was not written to an open connection. Returns at once."""
        self.count("undelivered")
        if call_id is None:
            not_hung_up(handle_id, None, reason="undelivered", why="no_call_id")
            return
        log.warning("answer_undelivered", handle=handle_id, call_id=call_id, hangup_after=self.grace or None)
        at = int(self.clocks.now())

        async def note() -> None:
            # First what the hang-up depends on.
            if self.grace:
                await self.deadlines.add("undelivered", call_id, seconds=self.grace + DELIVERY_SECONDS)
            await self.calls.mark_undelivered(call_id, at=at)

        self.settlement.write_soon("undelivered", note, handle=handle_id, call_id=call_id)

    def fetched(self, handle_id: str, call_id: str | None) -> None:
        """The same offer got the answer of this call from us, after an earlier relay. Returns at once."""
        if call_id is None or not self.grace:
            return
        at = int(self.clocks.now())

        async def note() -> None:
            # The earlier relay may find only now that its browser has gone: the note tells what to do then.
            await self.calls.mark_delivered(call_id, at=at)
            await self.deadlines.remove(Due("undelivered", call_id))

        self.settlement.write_soon("delivered", note, handle=handle_id, call_id=call_id)

    async def lose(self, call_id: str | None) -> None:
        """Have a lost call hung up now, if that is wanted. Safe to repeat.

        Raises:
            StoreUnavailable: it could not be noted.
        """
        if call_id is not None and self.hang_up_lost:
            await self.deadlines.add("lost", call_id, seconds=0)

    def lost(self, handle_id: str, call_id: str | None) -> None:
        """Count and log a lost call."""
        self.count("lost")
        log.warning("call_lost", handle=handle_id, call_id=call_id, hangup=self.hang_up_lost)
        if call_id is None and self.hang_up_lost:
            not_hung_up(handle_id, None, reason="lost", why="no_call_id")


def not_hung_up(handle_id: str, call_id: str | None, *, reason: Reason, why: str) -> None:
    """Log that a call should be hung up and will not be."""
    log.error("call_not_hung_up", handle=handle_id, call_id=call_id, reason=reason, why=why)
