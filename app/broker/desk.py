"""What operators see and do: the same over the admin API and straight on the store.

The documents are JSON objects without a secret, times in epoch seconds. Each field is named here and taken
from a view that has no key, so that a new field of the store is not shown by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.broker.clients import ClientRegistry
from app.reports import CallReport
from app.store.events import EventFeed
from app.store.listing.directory import HandleDirectory, alive
from app.store.listing.stops import CallStops
from app.store.listing.views import Alive, HandleView, RelayNote, Stopped, call_state
from app.store.pools import PoolStore
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that the operators' requests need.

    ``admins`` are the operators by their keys, None where there is none. ``clock`` returns epoch seconds.
    """

    handles: HandleDirectory
    calls: CallStore
    stops: CallStops
    pools: PoolStore
    feed: EventFeed
    clock: Callable[[], float]
    replica: str
    admins: ClientRegistry | None = field(repr=False)

    async def story(self, handle_id: str) -> tuple[HandleView, dict[str, CallRecord]] | None:
        """A handle, and those of its calls that are on record; None when it expired, or never was.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        view = await self.handles.get(handle_id)
        if view is None:
            return None
        return view, await self.calls.get_many([note.call_id for note in view.relays if note.call_id])

    async def alive(self) -> Alive:
        """How many handles and calls there are.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return await alive(self.handles, self.calls, now=self.clock())


def handle_document(view: HandleView) -> Document:
    """A handle without its story. ``version`` is its record's, ``seconds_left`` by the store's own clock."""
    refusal = view.last_refusal
    return {
        "object": "handle",
        "id": view.id,
        "version": view.version,
        "state": view.state,
        "model": view.model,
        "deployment": view.deployment,
        "provider": view.provider,
        "region": view.region or None,
        "family": view.family,
        "client": view.client,
        "subject": view.subject or None,
        "origin": view.origin or None,
        "minted_at": view.minted_at,
        "minted_by": view.minted_by,
        "expires_at": view.expires_at,
        "seconds_left": view.life,
        "max_calls": view.max_calls or None,
        "max_call_seconds": view.max_call_seconds or None,
        "bind_origin": view.bind_origin or None,
        "bind_fingerprint": view.bind_fingerprint or None,
        "used_origin": view.used_origin or None,
        "used_fingerprint": view.used_fingerprint or None,
        "calls": view.calls,
        "uses_left": view.uses_left,
        "last_call_at": view.last_call_at,
        "last_call_by": view.last_call_by or None,
        "revoked_at": view.revoked_at,
        "revoked_by": view.revoked_by or None,
        "calls_revoked_by": view.calls_revoked_by or None,
        "refusals": view.refusals,
        "last_refusal": {"at": refusal.at, "code": refusal.outcome} if refusal is not None else None,
        "suspicions": view.suspicions,
        "suspected_at": view.suspected_at,
        "suspicion": view.suspicion or None,
    }


def story_document(view: HandleView, calls: Mapping[str, CallRecord]) -> Document:
    """A handle with its last relays; ``calls`` are those that are still on record, by id."""
    return {
        **handle_document(view),
        "relays_count": view.relays_count,
        "relays": [_relay_document(note, calls.get(note.call_id)) for note in view.relays],
    }


def call_document(call: CallRecord) -> Document:
    """A call. ``open`` means only that it was not hung up through us. ``CallRecord`` explains the fields."""
    return {
        "object": "call",
        "id": call.id,
        "version": call.version,
        "state": call_state(call),
        "handle": call.handle,
        "deployment": call.deployment,
        "model": call.model,
        "client": call.client,
        "subject": call.subject or None,
        "relayed_at": call.relayed_at,
        "relayed_by": call.relayed_by,
        "ended_at": call.ended_at,
        "ended_by": call.ended_by or None,
        "ended_because": call.ended_because or None,
        "undelivered_at": call.undelivered_at,
        "delivered_at": call.delivered_at,
        "not_ended_because": call.not_ended_because or None,
        "attached_at": call.attached_at,
        "sideband": call.sideband or None,
        "metered": call.metered or None,
        "seconds": call.seconds,
        "usage": dict(call.usage) or None,
        "max_call_seconds": call.max_call_seconds or None,
        "ends_at": call.ends_at,
        "hangup_asked_at": call.hangup_asked_at,
        "hangup_asked_by": call.hangup_asked_by or None,
        "hangup_failures": call.hangup_failures,
        "last_hangup_failure": call.last_hangup_failure or None,
        "report": _report_document(call.report) if call.report is not None else None,
    }


def _report_document(report: CallReport) -> Document:
    candidates = None
    if report.local is not None and report.remote is not None:
        candidates = {"local": report.local._asdict(), "remote": report.remote._asdict()}
    return {
        "at": report.at,
        "outcome": report.outcome,
        "after_ms": report.after_ms,
        "ice_state": report.ice_state or None,
        "dtls_state": report.dtls_state or None,
        "protocol": report.protocol or None,
        "candidate_type": report.candidate_type or None,
        "microphone": report.microphone or None,
        "candidates": candidates,
    }


def stopped_document(step: Stopped) -> Document:
    """What one step did to calls that are to end."""
    return {
        "found": len(step.ids),
        "noted": step.noted,
        "newer_release": step.newer,
        "ids": list(step.ids),
    }


def _relay_document(note: RelayNote, call: CallRecord | None) -> Document:
    return {
        "at": note.at,
        "outcome": note.outcome,
        "call_id": note.call_id or None,
        "call": call_document(call) if call is not None else None,
    }
