"""What is written when a call is made: its record, its index entries, its deadline, its seat, its watch."""

from __future__ import annotations

from typing import Final

from app.models import LONGEST_CALL_SECONDS
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION, number_of
from app.store.listing.index import indexing
from app.store.records.deadlines import Due, adding
from app.store.records.record import CallRecord
from app.store.records.seats import Seat, confirming, subject_digest
from app.store.records.watches import watching
from app.store.scripts import CALL, ScriptCall

# A seat outlives its call by the time that a hang-up takes.
_HANGUP_SECONDS: Final = 5.0


def registering(
    connection: StoreConnection, call: CallRecord | None, retention: float, *, age: float = 0.0
) -> list[ScriptCall]:
    """The scripts that put a call on record for ``retention`` seconds; none where the provider named no call.

    They run with the end of its claim, in the same round trip. ``age`` is how long the call has lasted, in
    seconds. A call that may not last for ever gets its deadline.
    """
    if call is None:
        return []
    retention_ms, minute = int(retention * 1000), call.relayed_at // keys.MINUTE_SECONDS
    lists = (keys.calls(minute), keys.client_calls(call.client, minute))
    # In the order of ``call.lua``.
    fields = (
        RECORD_VERSION,
        call.handle,
        call.deployment,
        call.model,
        call.client,
        call.subject,
        call.relayed_at,
        call.relayed_by,
        call.max_call_seconds,
        call.seat,
        call.proof,
    )
    return [
        (CALL, (keys.call(call.id),), (retention_ms, *fields)),
        *indexing(connection, lists, call.id, retention_ms),
        *_leash(call, age),
        *_confirmed(call, age),
        *([watching(call.id)] if call.to_meter else ()),
    ]


def _confirmed(call: CallRecord, age: float) -> list[ScriptCall]:
    seat = seat_of(call)
    if seat is None:
        return []
    lasts = call.max_call_seconds or LONGEST_CALL_SECONDS
    return [confirming(seat, nonce="", seconds=max(lasts - age, 0.0) + _HANGUP_SECONDS)]


def seat_of(call: CallRecord) -> Seat | None:
    """The call's place among those of its client; None where their number is not limited."""
    if not call.seat:
        return None
    offer, _, day = call.seat.rpartition(":")
    return Seat(call.client, subject_digest(call.subject), offer, number_of(day))


def _leash(call: CallRecord, age: float) -> list[ScriptCall]:
    if not call.max_call_seconds:
        return []
    return [adding(Due("max_call_seconds", call.id), max(call.max_call_seconds - age, 0.0))]
