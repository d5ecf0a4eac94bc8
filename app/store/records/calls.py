"""Call records: register a call, read one, list them, note what became of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.models import LONGEST_CALL_SECONDS
from app.reports import CallReport, from_texts, to_texts
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION, knows_version, number_of, version_of
from app.store.listing.index import Walk
from app.store.listing.views import CallFilter, Page
from app.store.records.deadlines import Due
from app.store.records.record import USAGE_FIGURES, CallRecord
from app.store.records.registering import seat_of
from app.store.records.seats import freeing
from app.store.scripts import FAILED, INDEX, NOTE, REPORT

_REPORT_TEXTS: Final = ("report", "report_states", "report_candidates")
_FIELDS: Final = (
    "v",
    "handle",
    "deployment",
    "model",
    "client",
    "subject",
    "relayed_at",
    "relayed_by",
    "ended_at",
    "ended_by",
    "ended_because",
    "undelivered_at",
    "delivered_at",
    "not_ended_because",
    "attached_at",
    "sideband",
    "max_call_seconds",
    "seat",
    "proof",
    *_REPORT_TEXTS,
    "hangup_asked_at",
    "hangup_asked_by",
    "hangup_failures",
    "last_hangup_failure",
    "metered",
    "seconds",
    *USAGE_FIGURES,
)
_CLOCK_MARGIN_MINUTES: Final = 5
# A page reports once. The others are for a page that was loaded again, and for one that goes wrong.
MAX_REPORTS: Final = 4


@dataclass(frozen=True, slots=True)
class ReportTaken:
    """What became of a page's report.

    ``first`` of its call; ``worse``: a failure that replaced a good outcome; ``more``: an earlier one stays;
    ``limited``: the call has had ``MAX_REPORTS``; ``none``: there is no such call, or another handle made it;
    ``version``: a newer release wrote the record, in the version that is in ``version``.
    """

    how: Literal["first", "worse", "more", "limited", "none", "version"]
    model: str = ""
    deployment: str = ""
    client: str = ""
    version: int = RECORD_VERSION


class CallStore:
    """The calls in Redis. Every method raises ``StoreUnavailable`` when the store does not answer.

    Args:
        retention: seconds that a call stays on record; how far back a listing looks.
    """

    def __init__(self, connection: StoreConnection, *, retention: int = 7200) -> None:
        self._connection = connection
        self._retention = retention

    async def get(self, call_id: str) -> CallRecord | None:
        """The record of this call; None when it was never relayed, or when its retention is over."""
        (found,) = await self._read([call_id], patient=True)
        return found

    async def get_many(self, call_ids: Sequence[str]) -> dict[str, CallRecord]:
        """Those of these calls that are on record, by id, in one round trip."""
        return {call.id: call for call in await self._read(call_ids) if call is not None}

    async def ended_among(self, call_ids: Sequence[str]) -> list[str]:
        """Those of these calls that are noted as over, in one round trip."""
        commands = [("HMGET", keys.call(call_id), "ended_at") for call_id in call_ids]
        replies = await self._connection.run_together(*commands)
        return [call_id for call_id, (at,) in zip(call_ids, replies, strict=True) if at is not None]

    async def page(
        self,
        wanted: CallFilter,
        *,
        now: float,
        cursor: str | None = None,
        limit: int = 100,
        back: int | None = None,
    ) -> Page[CallRecord]:
        """The next calls that match, the latest first.

        Args:
            now: epoch seconds.
            cursor: ``next_cursor`` of the page before.
            limit: at least 1.
            back: how far back in seconds; None: as far as calls are kept.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        minute = int(now) // keys.MINUTE_SECONDS
        kept = (self._retention if back is None else min(back, self._retention)) // keys.MINUTE_SECONDS
        walk = Walk(
            self._connection,
            _lists_for(wanted),
            newest=minute + _CLOCK_MARGIN_MINUTES,
            oldest=minute - kept - _CLOCK_MARGIN_MINUTES,
        )
        return await walk.page(self._read, matches=wanted.matches, cursor=cursor, limit=limit)

    async def count_open(self, *, now: float) -> int:
        """How many calls may still be open: relayed within an hour, and not hung up through us."""
        minute = int(now) // keys.MINUTE_SECONDS
        relayed = Walk(
            self._connection, keys.calls, minute, minute - LONGEST_CALL_SECONDS // keys.MINUTE_SECONDS
        )
        ended = replace(relayed, name_of=keys.ended_calls)
        return max(await relayed.count() - await ended.count(), 0)

    async def mark_ended(
        self, call: CallRecord, *, ended_at: int, ended_by: str, because: str = "", operator: str = ""
    ) -> None:
        """Note that the call is over. Its record keeps its expiry; a record that is gone stays gone.

        Safe to repeat: the first note stays. ``ended_at`` is epoch seconds, ``ended_by`` a replica's name.
        ``because`` is the reason of a deadline (``app.store.records.deadlines``), ``remote`` where it ended
        at the provider, empty where a caller asked.
        ``operator`` is who asked for it, where that is not on record yet.
        """
        why: tuple[str | int, ...] = ("ended_because", because) if because else ()
        if operator and call.hangup_asked_at is None:
            why += ("hangup_asked_at", ended_at, "hangup_asked_by", operator)
        if await self._note(call.id, "ended_at", ended_at, "ended_by", ended_by, *why):
            ended = keys.ended_calls(call.relayed_at // keys.MINUTE_SECONDS)
            life_ms = (LONGEST_CALL_SECONDS + 2 * keys.MINUTE_SECONDS) * 1000
            await self._connection.run_script(INDEX, (ended,), call.id, life_ms)
            await self._no_longer_open(call, lasted=max(ended_at - call.relayed_at, 0))

    async def _no_longer_open(self, call: CallRecord, *, lasted: int) -> None:
        if call.max_call_seconds:
            leash = Due("max_call_seconds", call.id)
            await self._connection.run_together(("ZREM", keys.deadlines(call.id), leash.entry))
        seat = seat_of(call)
        if seat is not None:
            await self._connection.run_scripts(freeing(seat, lasted=lasted))

    async def mark_undelivered(self, call_id: str, *, at: int) -> None:
        """Note that the call's answer reached no browser. ``at`` is epoch seconds; the first note stays."""
        await self._note(call_id, "undelivered_at", at)

    async def mark_delivered(self, call_id: str, *, at: int) -> None:
        """Note that the same offer fetched the call's answer later. Otherwise as ``mark_undelivered``."""
        await self._note(call_id, "delivered_at", at)

    async def mark_not_ended(self, call_id: str, *, because: str) -> None:
        """Note, in a word, why the call will not be hung up though it should be."""
        await self._note(call_id, "not_ended_because", because)

    async def take_report(self, call_id: str, handle: str, report: CallReport) -> ReportTaken:
        """Put the report of a call on its record, if this handle made it. Exact, in one round trip."""
        how, *more = await self._connection.run_script(
            REPORT,
            (keys.call(call_id),),
            handle,
            RECORD_VERSION,
            MAX_REPORTS,
            int(report.failed),
            *to_texts(report),
        )
        if how == "version":
            return ReportTaken(how, version=version_of(more[0]))
        return ReportTaken(how, *more)

    async def mark_hangup_failed(self, call_id: str, *, code: str) -> None:
        """Count a hang-up that failed and will be repeated. ``code`` is the error's."""
        await self._connection.run_script(FAILED, (keys.call(call_id),), code)

    async def mark_attached(self, call_id: str, *, at: int) -> None:
        """Note that a sideband was opened. ``at`` is epoch seconds; the first note stays."""
        await self._note(call_id, "attached_at", at)

    async def mark_no_sideband(self, call_id: str, *, because: str) -> None:
        """Note, in a word, why the call has no sideband."""
        await self._note(call_id, "sideband", because)

    async def mark_metered(
        self, call_id: str, how: str, *, seconds: float | None, usage: Mapping[str, float]
    ) -> None:
        """Note what the call used, and how that was counted (``CallRecord``); the first note stays."""
        lasted = () if seconds is None else ("seconds", f"{seconds:.10g}")
        figures = (part for name, value in usage.items() for part in (name, f"{value:.10g}"))
        await self._note(call_id, "metered", how, *lasted, *figures)

    async def _note(self, call_id: str, *fields: str | int) -> bool:
        return bool(await self._connection.run_script(NOTE, (keys.call(call_id),), *fields))

    async def _read(self, call_ids: Sequence[str], *, patient: bool = False) -> list[CallRecord | None]:
        commands = [("HMGET", keys.call(call_id), *_FIELDS) for call_id in call_ids]
        replies = await self._connection.run_together(*commands, patient=patient)
        return [_record(call_id, values) for call_id, values in zip(call_ids, replies, strict=True)]


def _lists_for(wanted: CallFilter) -> Callable[[int], str]:
    if wanted.client is None:
        return keys.calls
    client = wanted.client
    return lambda minute: keys.client_calls(client, minute)


def _record(call_id: str, values: Sequence[Any]) -> CallRecord | None:
    found = dict(zip(_FIELDS, values, strict=True))
    version = version_of(found["v"])
    known = knows_version(version)
    # Every record has both. A hash without them is what an operator's HSET left.
    if known and (found["handle"] is None or found["relayed_at"] is None):
        return None
    return CallRecord(
        id=call_id,
        handle=found["handle"] or "",
        deployment=found["deployment"] or "",
        model=found["model"] or "",
        client=found["client"] or "",
        subject=found["subject"] or "",
        relayed_at=number_of(found["relayed_at"]),
        relayed_by=found["relayed_by"] or "",
        version=version,
        **(_notes(found) if known else {}),
    )


def _notes(found: Mapping[str, str | None]) -> dict[str, Any]:
    """What was noted after the relay."""
    times = ("ended_at", "undelivered_at", "delivered_at", "hangup_asked_at", "attached_at")
    texts = ("ended_by", "ended_because", "not_ended_because", "hangup_asked_by", "last_hangup_failure")
    figures = {name: _figure(found[name]) for name in ("seconds", *USAGE_FIGURES)}
    return {
        **{name: int(value) if (value := found[name]) is not None else None for name in times},
        **{name: found[name] or "" for name in ("sideband", "metered")},
        "max_call_seconds": number_of(found["max_call_seconds"]),
        "seat": found["seat"] or "",
        "proof": found["proof"] or "",
        "report": from_texts(*(found[name] or "" for name in _REPORT_TEXTS)),
        **{name: found[name] or "" for name in texts},
        "hangup_failures": number_of(found["hangup_failures"]),
        "seconds": figures.pop("seconds"),
        "usage": {name: value for name, value in figures.items() if value},
    }


def _figure(text: str | None) -> float | None:
    """A count or seconds; None where there is none that this release can read."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return int(value) if value is not None and value.is_integer() else value
