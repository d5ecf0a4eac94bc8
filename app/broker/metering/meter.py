"""The metered calls that this process watches: taken, held, handed over, and each put on record once.

Every replica looks for calls that no one watches, and holds those that it takes for as long as it lives. The
hold is renewed together with the sums, so that a replica that takes over misses little, and knows how much.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from app.broker.metering.watch import HOWS, Around, Found, How, Watch
from app.errors import StoreUnavailable
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord
from app.store.records.watches import Taken, Watches

log = structlog.get_logger("cloakroom.metering")

LOOK_SECONDS: Final = 0.4
# Calls last for minutes, so their holds are longer than those of due calls, and are renewed less often.
RENEW_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 3.0
TAKEN_AT_ONCE: Final = 256
# Handshakes with providers at once.
ATTACHING_AT_ONCE: Final = 32
# Version of the records' form.
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What the stream, a span and the log tell of a call. Times are epoch seconds.

    ``seconds`` is how long it lasted, None where that is not known. ``figures`` are by
    ``app.models.USAGE_FIGURES``; ``provider_model`` is the provider's name, empty where it was not told.
    """

    call: CallRecord
    how: How
    seconds: float | None
    ended_at: float | None
    ended_because: str
    provider_model: str
    gaps: int
    gap_seconds: float
    figures: Mapping[str, float]

    def fields(self) -> dict[str, str | float]:
        """The record as the stream has it, without what is empty."""
        call = self.call
        found: dict[str, str | float | None] = {
            "v": _VERSION,
            "call": call.id,
            "handle": call.handle,
            "client": call.client,
            "subject": call.subject,
            "model": call.model,
            "provider_model": self.provider_model,
            "deployment": call.deployment,
            "relayed_at": call.relayed_at,
            "ended_at": self.ended_at,
            "seconds": self.seconds,
            "ended_because": self.ended_because,
            "metered": self.how,
            "gaps": self.gaps,
            "gap_seconds": self.gap_seconds or None,
            **{name: value for name, value in self.figures.items() if value},
        }
        return {name: value for name, value in found.items() if value is not None and value != ""}


class Counts(Protocol):
    """Counts what is metered: ``app.telemetry.usage.UsageMetrics``."""

    def recorded(self, model: str, how: str, seconds: float | None) -> None:
        """A record was written."""


@dataclass(slots=True, kw_only=True)
class Meter:
    """The watches of this process.

    Args:
        most: calls that it watches at once.
        tell: is given each record that this process has written.
    """

    watches: Watches
    calls: CallStore
    around: Around
    counts: Counts
    tell: Callable[[UsageRecord], None]
    most: int
    _watched: dict[str, tuple[Watch, asyncio.Task[None]]] = field(default_factory=dict)
    _looking: asyncio.Task[None] | None = None
    _renewed: float = 0.0

    @property
    def watched(self) -> int:
        """How many calls this process watches."""
        return len(self._watched)

    def start(self) -> None:
        """Begin to look for calls in the background."""
        self._looking = asyncio.create_task(self._look_on(), name="metering")

    async def hand_over(self) -> None:
        """Watch no more, and let other replicas take the calls at once. Returns when they may."""
        if self._looking is None:
            return
        self._looking.cancel()
        await asyncio.wait([self._looking])
        self._looking = None
        left = {}
        for call_id, (watch, task) in self._watched.items():
            task.cancel()
            left[call_id] = watch.turn, watch.sums
        try:
            await self.watches.release(left)
        except StoreUnavailable:
            # The holds run out.
            log.warning("metering_not_handed_over", calls=len(left))

    async def close(self) -> None:
        """As ``hand_over``; returns when every sideband is closed."""
        await self.hand_over()
        await asyncio.gather(*(task for _, task in self._watched.values()), return_exceptions=True)

    async def _look_on(self) -> None:
        while True:
            # Replicas that look in step would always take turns in the same order.
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            try:
                await self._look()
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("metering_failed")

    async def _look(self) -> None:
        now = self.around.clocks.monotonic()
        if self._watched and now - self._renewed >= RENEW_SECONDS:
            await self._renew()
            self._renewed = now
        free = self.most - len(self._watched)
        if free > 0:
            for taken in await self.watches.take(at_most=min(free, TAKEN_AT_ONCE)):
                self._begin(taken)

    async def _renew(self) -> None:
        changed = {}
        for call_id, (watch, _) in self._watched.items():
            if watch.changed:
                # Before the store has it: what grows meanwhile is a change again.
                watch.changed = False
                changed[call_id] = watch.turn, watch.sums
        try:
            lost = await self.watches.keep(list(self._watched), changed)
        except StoreUnavailable:
            for call_id in changed.keys() & self._watched.keys():
                self._watched[call_id][0].changed = True
            raise
        for call_id in lost & self._watched.keys():
            watch, task = self._watched[call_id]
            if watch.turn == changed[call_id][0]:
                task.cancel()

    def _begin(self, taken: Taken) -> None:
        if taken.call_id in self._watched:
            # The store was slow, and the hold ran out. The sums here are newer.
            watch, _ = self._watched[taken.call_id]
            watch.turn, watch.changed = taken.turn, True
            return
        watch = Watch(taken, self.around)
        task = asyncio.create_task(self._work(taken.call_id, watch), name="metered-call")
        self._watched[taken.call_id] = watch, task

    async def _work(self, call_id: str, watch: Watch) -> None:
        try:
            found = await watch.run()
            await self._put_on_record(call_id, watch, found)
        except Exception:
            # The hold runs out, and a replica takes it.
            log.exception("metering_failed", call_id=call_id)
        finally:
            self._watched.pop(call_id, None)

    async def _put_on_record(self, call_id: str, watch: Watch, found: Found) -> None:
        record = _record(call_id, watch, found)
        while True:
            try:
                # First: should this process end in between, the next watcher writes the same record.
                await self.calls.mark_metered(
                    call_id, record.how, seconds=record.seconds, usage=record.figures
                )
                new = await self.watches.write(call_id, watch.turn, record.fields())
                break
            except StoreUnavailable:
                await asyncio.sleep(LOOK_SECONDS)
        if new:
            self.counts.recorded(record.call.model, record.how, record.seconds)
            self.tell(record)
            log.info("call_metered", **_logged(record))


def _record(call_id: str, watch: Watch, found: Found) -> UsageRecord:
    sums, call, ended_at = watch.sums, found.call, found.ended_at
    if call is None:
        call = CallRecord(call_id, "", "", "", "", "", 0, "")
    seconds = None
    if ended_at is not None:
        seconds = round(max(ended_at - call.relayed_at, 0.0), 3)
    how, figures = found.how, sums.figures
    if call.metered:
        # A watcher noted it and ended before it wrote the record. It had seen the end.
        how, figures, seconds = _known(call.metered), dict(call.usage), call.seconds
        if how == "complete":
            sums.gaps, sums.gap_seconds = 0, 0.0
    return UsageRecord(
        call=call,
        how=how,
        seconds=seconds,
        ended_at=ended_at,
        ended_because=found.ended_because,
        provider_model=sums.model,
        gaps=sums.gaps,
        gap_seconds=sums.gap_seconds,
        figures=figures,
    )


def _known(how: str) -> How:
    for one in HOWS:
        if one == how:
            return one
    return "incomplete"


def _logged(record: UsageRecord) -> dict[str, Any]:
    fields = record.fields()
    told = ("handle", "seconds", "ended_because", "metered", "gaps")
    return {
        "call_id": record.call.id,
        **{name: fields[name] for name in told if name in fields},
        **record.figures,
    }
