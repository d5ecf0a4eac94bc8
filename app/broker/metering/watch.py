"""One metered call, watched by this process: attach, read events, and find out when and why it ended.

What is missed is marked and never made up: a time without a socket is a gap, and makes the record incomplete.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from app.broker.calls.sideband import NOTED_SECONDS, Sidebands
from app.errors import CallNotAttachable, CallNotFound, CloakroomError, InvalidRequest, StoreUnavailable
from app.models import LONGEST_CALL_SECONDS, Clocks
from app.outbound.sideband import NORMAL, EventSocket
from app.providers.usage import Usage
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord
from app.store.records.watches import Sums, Taken
from app.telemetry.timings import Timings

# A browser needs some time after its answer to connect and to speak. Who attaches by then has missed nothing.
START_SECONDS: Final = 5.0
# A record's time of the end has no fractions, and clocks of replicas differ.
_END_SECONDS: Final = 2.0
# Between tries to attach, or to reach the store.
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
# A call whose record does not come has none: it is written for so long after the relay.
_RECORD_SECONDS: Final = 90.0

How = Literal["complete", "incomplete", "not_attachable", "no_sideband"]
HOWS: Final[tuple[How, ...]] = ("complete", "incomplete", "not_attachable", "no_sideband")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What all watches of a process share.

    ``attaching`` bounds how many attach at once. ``grown`` is told of each growth of a call's figures, with
    its model; ``tried`` of each handshake.
    """

    sidebands: Sidebands
    calls: CallStore
    attaching: asyncio.Semaphore
    grown: Callable[[str, dict[str, float]], None]
    tried: Callable[[Timings], None]
    clocks: Clocks


@dataclass(frozen=True, slots=True)
class Found:
    """What a watch came to. ``call`` is None where it is not on record."""

    call: CallRecord | None
    how: How
    ended_at: float | None
    ended_because: str


class Watch:
    """One watch; ``run`` ends with the call. Cancel it to leave the call to another replica.

    Attributes:
        turn: see ``Taken``; it grows where the store gave the same call to this process again.
        changed: the sums have grown since they were kept.
    """

    __slots__ = (
        "_around",
        "_call_id",
        "_covered",
        "_first",
        "_left_at",
        "_usage",
        "changed",
        "gap_seconds",
        "gaps",
        "turn",
    )

    def __init__(self, taken: Taken, around: Around) -> None:
        self._around = around
        self._call_id = taken.call_id
        self._usage = Usage(taken.sums.figures, model=taken.sums.model)
        # Until when nothing was missed, but for the gaps, in epoch seconds.
        self._covered = around.clocks.now() - taken.unwatched
        self._first = taken.turn == 1
        self._left_at: float | None = None
        self.gaps, self.gap_seconds = taken.sums.gaps, taken.sums.gap_seconds
        self.turn = taken.turn
        self.changed = False

    @property
    def sums(self) -> Sums:
        """What the call has used so far, as it is kept."""
        return Sums(
            figures=self._usage.figures,
            model=self._usage.model,
            gaps=self.gaps,
            gap_seconds=self.gap_seconds,
        )

    async def run(self) -> Found:
        """Watch the call to its end."""
        call = await self._record()
        if call is None:
            return Found(None, "incomplete", None, "")
        pauses, refused = _pauses(), False
        while call.ended_at is None and self._now() < call.relayed_at + LONGEST_CALL_SECONDS + _END_SECONDS:
            try:
                socket = await self._attach(call)
            except CallNotFound:
                call = await self._again(call)
                break
            except CallNotAttachable:
                if refused or self._now() > call.relayed_at + START_SECONDS:
                    return self._found(await self._again(call), "not_attachable")
                # The provider may need a moment to know a new call everywhere.
                refused = True
            except InvalidRequest:
                return self._found(call, "no_sideband")
            except CloakroomError:
                pass
            else:
                call = self._begun(call)
                try:
                    await self._read(socket, call.model)
                finally:
                    await socket.close(NORMAL, "")
                pauses = _pauses()
            await asyncio.sleep(next(pauses))
            call = await self._again(call)
            if self._usage.closed and call.ended_at is None:
                # The session said that it is over, and no hang-up of ours was its cause.
                await self._around.sidebands.note_over(call, at=self._left_at)
                call = await self._again(call)
                break
        return self._over(call)

    async def _attach(self, call: CallRecord) -> EventSocket:
        timings = Timings()
        try:
            async with self._around.attaching:
                return await self._around.sidebands.attach(call, timings, left_at=self._left_at)
        finally:
            self._around.tried(timings)

    def _begun(self, call: CallRecord) -> CallRecord:
        now = self._now()
        if not self._first or now - self._covered > START_SECONDS:
            self._missed(now)
        self._first, self._covered = False, now
        return call if call.attached_at is not None else replace(call, attached_at=int(now))

    async def _read(self, socket: EventSocket, model: str) -> None:
        """Read events until the socket ends."""
        while isinstance(event := await socket.receive(), str):
            if grown := self._usage.read(event):
                self.changed = True
                self._around.grown(model, grown)
        self._left_at = self._covered = self._now()

    def _missed(self, until: float) -> None:
        self.gaps += 1
        self.gap_seconds = round(self.gap_seconds + max(until - self._covered, 0.0), 1)
        self.changed = True

    def _over(self, call: CallRecord) -> Found:
        ended_at = float(call.ended_at) if call.ended_at is not None else self._left_at
        patience = START_SECONDS if self._first else _END_SECONDS
        if ended_at is None or ended_at - self._covered > patience:
            self._missed(self._now() if ended_at is None else ended_at)
        return self._found(call, "incomplete" if self.gaps else "complete")

    def _found(self, call: CallRecord, how: How) -> Found:
        if call.ended_at is None:
            left = self._left_at
            return Found(call, how, left, "unknown" if left is None else self._remote("remote"))
        # One that a caller asked to hang up has no reason on its record.
        because = call.ended_because or "hangup"
        at = float(call.ended_at)
        if self._left_at is not None and abs(self._left_at - at) <= _END_SECONDS:
            # The same end, to the millisecond.
            at = self._left_at
        return Found(call, how, at, self._remote(because))

    def _remote(self, because: str) -> str:
        return self._usage.ended or because if because == "remote" else because

    async def _record(self) -> CallRecord | None:
        until = self._now() + _RECORD_SECONDS
        for pause in _pauses():
            try:
                call = await self._around.calls.get(self._call_id)
            except StoreUnavailable:
                call = None
            if call is not None or self._now() > until:
                return call
            await asyncio.sleep(pause)
        return None

    async def _again(self, call: CallRecord) -> CallRecord:
        """The call's record as it is now."""
        try:
            found = await self._around.calls.get(call.id)
        except StoreUnavailable:
            return call
        if found is None:
            return call
        return replace(found, attached_at=found.attached_at or call.attached_at)

    def _now(self) -> float:
        return self._around.clocks.now()


def _pauses() -> Iterator[float]:
    """Seconds between tries; the first is long enough for the note of a hang-up."""
    pause = max(_FIRST_PAUSE_SECONDS, NOTED_SECONDS)
    while True:
        yield pause * random.uniform(1.0, 1.25)  # noqa: S311 - spreads load, no secret
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
