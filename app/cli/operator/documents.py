"""Reads handles and calls from the admin API's JSON; ``app.broker.desk`` writes it.

Times are epoch seconds, life is seconds.
"""

from __future__ import annotations

from typing import Any

from app.cli.operator.base import HandleStory
from app.models import CallRecord
from app.store.views import HandleView, RelayNote


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
