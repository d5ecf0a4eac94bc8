"""Hangs up the calls whose deadline has come, whichever replica relayed them.

Every replica looks for due calls, and holds those that it takes while it works on them. A hang-up that fails
is tried again, at any replica, until the provider says that the call is over, or until no call lasts so long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog

from app.broker.calls.hangup import Hangup
from app.broker.deadlines.orphans import not_hung_up
from app.errors import CloakroomError, InvalidRequest, StoreUnavailable
from app.models import LONGEST_CALL_SECONDS, Clocks
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines, Due, Reason
from app.store.records.record import CallRecord
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.overdue")

LOOK_SECONDS: Final = 0.4
# A hold is renewed at each look, and outlives two of them. Within two seconds another replica has taken the
# calls of one that died.
HOLD_SECONDS: Final = 1.2
AT_ONCE: Final = 128
# After a hang-up that failed, unless the provider names a longer time.
AGAIN_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 60.0

# ``ended`` by this hang-up; ``gone`` at the provider before it; ``repeated`` after one that is on record;
# ``fetched``: a browser has got the answer; ``failed``: to be tried again; ``impossible``: the provider has
# no hang-up; ``outlived``: no call lasts so long, or its record is gone.
Outcome = Literal["ended", "gone", "repeated", "fetched", "failed", "impossible", "outlived"]
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "ended",
    "gone",
    "repeated",
    "fetched",
    "failed",
    "impossible",
    "outlived",
)
Count = Callable[[Reason, Outcome, Timings], None]


@dataclass(slots=True, kw_only=True)
class OverdueCalls:
    """The part of the due calls that this process works on.

    Args:
        count: counts a hang-up by its reason and its outcome.
    """

    deadlines: CallDeadlines
    calls: CallStore
    hangup: Hangup
    count: Count
    clocks: Clocks
    # Until when each entry is held, on the monotonic clock.
    _held: dict[str, tuple[Due, float]] = field(default_factory=dict)
    _workers: set[asyncio.Task[None]] = field(default_factory=set)
    _watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for due calls in the background."""
        self._watcher = asyncio.create_task(self._watch(), name="overdue-calls")

    async def close(self, *, grace: float) -> None:
        """Take no more, and give hang-ups under way ``grace`` seconds. Other replicas take what is left."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        if self._workers:
            _, unfinished = await asyncio.wait(self._workers, timeout=grace)
            for worker in unfinished:
                worker.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            # Replicas that look in step would always take turns in the same order.
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            try:
                await self._look()
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("overdue_calls_failed")

    async def _look(self) -> None:
        """Hold what is under way, and take what is due."""
        until = self.clocks.monotonic() + HOLD_SECONDS
        if under_way := [due for due, _ in self._held.values()]:
            await self.deadlines.hold(under_way, seconds=HOLD_SECONDS)
            self._held |= {due.entry: (due, until) for due in under_way if due.entry in self._held}
        until = self.clocks.monotonic() + HOLD_SECONDS
        free = AT_ONCE - len(self._held)
        for due in await self.deadlines.take(hold=HOLD_SECONDS, at_most=free) if free > 0 else ():
            # One whose hold ran out, since the store was slow, is under way here already.
            if due.entry not in self._held:
                self._held[due.entry] = due, until
                worker = asyncio.create_task(self._work(due), name="overdue-call")
                self._workers.add(worker)
                worker.add_done_callback(self._workers.discard)

    async def _work(self, due: Due) -> None:
        timings = Timings()
        try:
            outcome = await self._end(due, timings)
        except StoreUnavailable:
            # The hold runs out, and a replica that reaches the store takes it.
            return
        except Exception:
            log.exception("overdue_calls_failed", call_id=due.call_id)
            return
        finally:
            self._held.pop(due.entry, None)
        if outcome is not None:
            self.count(due.reason, outcome, timings)

    async def _end(self, due: Due, timings: Timings) -> Outcome | None:
        """Hang the call up if it should be. None: another replica may have taken it meanwhile."""
        call = await self.calls.get(due.call_id)
        outcome = self._without_asking(due, call)
        if call is None or outcome is not None:
            await self._settle(due)
            return outcome or "outlived"
        if self.clocks.monotonic() >= self._held[due.entry][1]:
            return None
        try:
            done = await self.hangup.hang_up(call, timings, because=due.reason)
        except InvalidRequest:
            not_hung_up(call.handle, call.id, reason=due.reason, why="no_hangup")
            await self.calls.mark_not_ended(call.id, because="no_hangup")
            await self._settle(due)
            return "impossible"
        except CloakroomError as error:
            await self._postpone(due, call, error)
            return "failed"
        log.info(
            "call_hung_up",
            call_id=call.id,
            handle=call.handle,
            reason=due.reason,
            outcome=done,
            operator=call.hangup_asked_by or None,
            late_ms=round(due.late * 1000),
        )
        await self._settle(due)
        return done

    def _without_asking(self, due: Due, call: CallRecord | None) -> Outcome | None:
        """What became of the call, where that is known without its provider."""
        if call is None:
            return "outlived"
        if call.ended_at is not None:
            return "repeated"
        if due.reason == "undelivered" and call.delivered_at is not None:
            return "fetched"
        if self.clocks.now() > call.relayed_at + LONGEST_CALL_SECONDS:
            not_hung_up(call.handle, call.id, reason=due.reason, why="outlived")
            return "outlived"
        return None

    async def _settle(self, due: Due) -> None:
        # No more a hold of ours, which a look in between would renew.
        self._held.pop(due.entry, None)
        await self.deadlines.remove(due)

    async def _postpone(self, due: Due, call: CallRecord, error: CloakroomError) -> None:
        asked = min(error.retry_after or 0.0, _LONGEST_PAUSE_SECONDS)
        pause = max(AGAIN_SECONDS * random.uniform(0.5, 1.5), asked)  # noqa: S311 - spreads load, no secret
        log.warning(
            "call_hangup_failed",
            call_id=call.id,
            handle=call.handle,
            reason=due.reason,
            code=error.answer_code,
            again_in=round(pause, 1),
        )
        self._held.pop(due.entry, None)
        await self.deadlines.hold([due], seconds=pause)
        await self.calls.mark_hangup_failed(call.id, code=error.answer_code)
