"""Handles and calls as JSON in the admin API's shapes, written and read; the same whichever way they came.

Times are epoch seconds, life is seconds.
"""

from __future__ import annotations

from typing import Any

from app.cli.operator.base import HandleStory
from app.models import CallRecord
from app.store.views import HandleView, RelayNote


def handle_document(view: HandleView) -> dict[str, Any]:
    """A handle as a listing tells it."""
    return {
        "object": "handle",
        "id": view.id,
        "state": view.state,
        "model": view.model,
        "deployment": view.deployment,
        "provider": view.provider,
        "family": view.family,
        "client": view.client,
        "subject": view.subject or None,
        "origin": view.origin or None,
        "minted_at": view.minted_at,
        "minted_by": view.minted_by,
        "expires_at": view.expires_at,
        "seconds_left": view.life,
        "max_calls": view.max_calls or None,
        "calls": view.calls,
        "uses_left": view.uses_left,
        "last_call_at": view.last_call_at,
        "last_call_by": view.last_call_by or None,
        "revoked_at": view.revoked_at,
        "revoked_by": view.revoked_by or None,
        "refusals": view.refusals,
        "last_refusal": _refusal(view.last_refusal),
    }


def story_document(story: HandleStory) -> dict[str, Any]:
    """A handle with its relays, and their calls where these are still on record."""
    relays = []
    for note in story.handle.relays:
        call = story.calls.get(note.call_id)
        relays.append(
            {
                "at": note.at,
                "outcome": note.outcome,
                "call_id": note.call_id or None,
                "call": call_document(call) if call is not None else None,
            }
        )
    return {**handle_document(story.handle), "relays_count": story.handle.relays_count, "relays": relays}


def call_document(call: CallRecord) -> dict[str, Any]:
    """A call. ``open``: nobody hung up here; it may have ended by itself."""
    return {
        "object": "call",
        "id": call.id,
        "state": "ended" if call.ended_at is not None else "open",
        "handle": call.handle,
        "deployment": call.deployment,
        "model": call.model,
        "client": call.client,
        "subject": call.subject or None,
        "relayed_at": call.relayed_at,
        "relayed_by": call.relayed_by,
        "ended_at": call.ended_at,
        "ended_by": call.ended_by or None,
    }


def _refusal(note: RelayNote | None) -> dict[str, Any] | None:
    return {"at": note.at, "code": note.outcome} if note is not None else None


def read_handle(found: dict[str, Any]) -> HandleView:
    """A handle from the admin API's JSON.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it has another shape.
    """
    refusal = found["last_refusal"]
    return HandleView(
        id=_text(found["id"]),
        model=_text(found["model"]),
        deployment=_text(found["deployment"]),
        provider=_text(found["provider"]),
        family=_text(found["family"]),
        client=_text(found["client"]),
        subject=_text(found["subject"]),
        origin=_text(found["origin"]),
        minted_at=int(found["minted_at"]),
        expires_at=int(found["expires_at"]),
        minted_by=_text(found["minted_by"]),
        life=float(found["seconds_left"]),
        max_calls=int(found["max_calls"] or 0),
        calls=int(found["calls"]),
        last_call_at=_time(found["last_call_at"]),
        last_call_by=_text(found["last_call_by"]),
        revoked_at=_time(found["revoked_at"]),
        revoked_by=_text(found["revoked_by"]),
        refusals=int(found["refusals"]),
        last_refusal=RelayNote(int(refusal["at"]), _text(refusal["code"])) if refusal else None,
        relays_count=int(found.get("relays_count", 0)),
        relays=tuple(
            RelayNote(int(one["at"]), _text(one["outcome"]), _text(one["call_id"]))
            for one in found.get("relays", ())
        ),
    )


def read_story(found: dict[str, Any]) -> HandleStory:
    """As ``read_handle``, with the calls of its relays."""
    calls = [read_call(one["call"]) for one in found["relays"] if one["call"] is not None]
    return HandleStory(read_handle(found), {call.id: call for call in calls})


def read_call(found: dict[str, Any]) -> CallRecord:
    """A call from the admin API's JSON; raises as ``read_handle``."""
    return CallRecord(
        id=_text(found["id"]),
        handle=_text(found["handle"]),
        deployment=_text(found["deployment"]),
        model=_text(found["model"]),
        client=_text(found["client"]),
        subject=_text(found["subject"]),
        relayed_at=int(found["relayed_at"]),
        relayed_by=_text(found["relayed_by"]),
        ended_at=_time(found["ended_at"]),
        ended_by=_text(found["ended_by"]),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _time(value: Any) -> int | None:
    return None if value is None else int(value)
