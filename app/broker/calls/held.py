"""Calls that last as long as a WebSocket which this replica holds, as with Azure Voice Live.

A hang-up at this replica closes the socket. One at another replica notes the end, and this replica closes the
socket when it sees the note: within a second, or as soon as the store can be read again. A socket that the
provider closes, or that breaks, ends its call. When this replica ends, so do its sockets and their calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from app.broker.calls.hangup import Hangup
from app.errors import StoreUnavailable

log = structlog.get_logger("cloakroom.held")

LOOK_SECONDS: Final = 1.0
# For a relay to settle after its answer.
RECORD_SECONDS: Final = 2.0
# ``ended_because`` of calls whose socket ended, and of those that ended with their replica.
REMOTE: Final = "remote"
REPLICA: Final = "replica"


class HeldSockets(Protocol):
    """``app.outbound.exchange.Exchanges``, as far as it is needed here."""

    @property
    def held(self) -> list[str]:
        """The ids of the calls whose sockets are open here."""

    def end(self, call_id: str) -> bool:
        """Close the socket of this call soon; False where it is not held here."""


@dataclass(slots=True, kw_only=True)
class HeldCalls:
    """Closes the sockets of calls that are over, and notes the end of calls whose sockets are closed."""

    sockets: HeldSockets
    hangup: Hangup
    _watcher: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to look for calls that were hung up elsewhere."""
        self._watcher = asyncio.create_task(self._watch(), name="held-calls")

    def ended(self, call_id: str) -> None:
        """The socket of this call was closed at its other end. Returns at once."""
        self._note_soon(call_id, REMOTE)

    async def close(self) -> None:
        """End the calls that are left. The settlements write the notes."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        left = [*self.sockets.held]
        if left:
            log.warning("held_calls_ended", calls=len(left))
        for call_id in left:
            self.sockets.end(call_id)
            self._note_soon(call_id, REPLICA)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if held := self.sockets.held:
                    for call_id in await self.hangup.calls.ended_among(held):
                        self.sockets.end(call_id)
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("held_calls_failed")

    def _note_soon(self, call_id: str, because: str) -> None:
        hangup = self.hangup
        at = int(hangup.clocks.now())

        async def note() -> None:
            call = await hangup.calls.get(call_id)
            if call is None:
                # It may have ended before its relay put it on record.
                await asyncio.sleep(RECORD_SECONDS)
                call = await hangup.calls.get(call_id)
            if call is not None and call.ended_at is None:
                await hangup.calls.mark_ended(call, ended_at=at, ended_by=hangup.replica, because=because)

        hangup.settlement.write_soon("ended", note, call_id=call_id)
