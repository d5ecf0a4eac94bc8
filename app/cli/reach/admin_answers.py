"""The admin API's queries, answers, refusals and events, between JSON and values of ours. Pure.

``app.broker.desk`` writes the documents. Times are epoch seconds, life is seconds. A function that reads an
answer raises KeyError, TypeError, ValueError or AttributeError when the answer has another shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import orjson

from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure
from app.cli.reach.base import HandleStory
from app.reports import OUTCOMES, CallReport, Candidates
from app.store.events import Event
from app.store.listing.views import CallFilter, HandleFilter, HandleView, Page, RelayNote, Revoked, Stopped
from app.store.records.record import CallRecord
from app.telemetry.redaction import legible, one_safe_line

# No such handle, no such call. A 404 with another code comes from a service without an admin API.
_ABSENT_CODES: Final = frozenset({"handle_not_found", "call_not_found"})
_LONGEST_MESSAGE: Final = 300

T = TypeVar("T")


def query_of(wanted: HandleFilter | CallFilter, **more: Any) -> dict[str, Any]:
    """The filter as query parameters, without those that are None."""
    return {name: value for name, value in (asdict(wanted) | more).items() if value is not None}


def object_of(content: bytes) -> dict[str, Any]:
    """The JSON object that is the whole body."""
    found = orjson.loads(content)
    if not isinstance(found, dict):
        raise TypeError("the answer is not a JSON object")
    return found


def page_of(found: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> Page[T]:
    """One page of a listing; ``read`` takes each item."""
    cursor = found["next_cursor"]
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError("a cursor is a string")
    return Page(tuple(read(one) for one in found["data"]), cursor, int(found["examined"]))


def revoked_of(found: dict[str, Any]) -> Revoked:
    """One step of a revocation."""
    return Revoked(
        revoked=int(found["revoked"]),
        already=int(found["already_revoked"]),
        examined=int(found["examined"]),
        next_cursor=found["next_cursor"],
        newer=int(found.get("newer_release", 0)),
        calls=stopped_of(found["calls"]) if "calls" in found else None,
    )


def stopped_of(found: dict[str, Any]) -> Stopped:
    """One step of ending calls."""
    if not all(isinstance(one, str) for one in found["ids"]):
        raise TypeError("an id is a string")
    return Stopped(
        ids=tuple(found["ids"]),
        noted=int(found["noted"]),
        newer=int(found["newer_release"]),
        examined=int(found.get("examined", 0)),
        next_cursor=found.get("next_cursor"),
    )


def read_handle(found: dict[str, Any]) -> HandleView:
    """A handle, with its relays where they are listed."""
    refusal = found["last_refusal"]
    return HandleView(
        **_texts(found, "id model deployment provider family client subject origin"),
        **_texts(found, "minted_by last_call_by revoked_by"),
        # A replica of an older release tells none.
        region=_text(found.get("region")),
        calls_revoked_by=_text(found.get("calls_revoked_by")),
        bind_origin=_text(found.get("bind_origin")),
        bind_fingerprint=_text(found.get("bind_fingerprint")),
        used_origin=_text(found.get("used_origin")),
        used_fingerprint=_text(found.get("used_fingerprint")),
        version=_version(found),
        minted_at=int(found["minted_at"]),
        expires_at=int(found["expires_at"]),
        life=float(found["seconds_left"]),
        max_calls=int(found["max_calls"] or 0),
        max_call_seconds=int(found.get("max_call_seconds") or 0),
        calls=int(found["calls"]),
        last_call_at=_time(found["last_call_at"]),
        revoked_at=_time(found["revoked_at"]),
        refusals=int(found["refusals"]),
        last_refusal=RelayNote(int(refusal["at"]), _text(refusal["code"])) if refusal else None,
        suspicions=int(found.get("suspicions") or 0),
        suspected_at=_time(found.get("suspected_at")),
        suspicion=_text(found.get("suspicion")),
        relays_count=int(found.get("relays_count", 0)),
        relays=tuple(
            RelayNote(int(one["at"]), _text(one["outcome"]), _text(one["call_id"]))
            for one in found.get("relays", ())
        ),
    )


def read_story(found: dict[str, Any]) -> HandleStory:
    """A handle with the calls of its relays."""
    calls = [read_call(one["call"]) for one in found["relays"] if one["call"] is not None]
    return HandleStory(read_handle(found), {call.id: call for call in calls})


def read_call(found: dict[str, Any]) -> CallRecord:
    """One call."""
    return CallRecord(
        **_texts(found, "id handle deployment model client subject relayed_by ended_by"),
        version=_version(found),
        relayed_at=int(found["relayed_at"]),
        ended_at=_time(found["ended_at"]),
        # The release 0.1.0 has none of these.
        ended_because=_text(found.get("ended_because")),
        undelivered_at=_time(found.get("undelivered_at")),
        delivered_at=_time(found.get("delivered_at")),
        not_ended_because=_text(found.get("not_ended_because")),
        attached_at=_time(found.get("attached_at")),
        sideband=_text(found.get("sideband")),
        metered=_text(found.get("metered")),
        seconds=float(lasted) if (lasted := found.get("seconds")) is not None else None,
        usage={str(name): float(value) for name, value in (found.get("usage") or {}).items()},
        max_call_seconds=int(found.get("max_call_seconds") or 0),
        report=_report(found.get("report")),
        hangup_asked_at=_time(found.get("hangup_asked_at")),
        hangup_asked_by=_text(found.get("hangup_asked_by")),
        hangup_failures=int(found.get("hangup_failures", 0)),
        last_hangup_failure=_text(found.get("last_hangup_failure")),
    )


def _report(found: dict[str, Any] | None) -> CallReport | None:
    # A newer release may know more outcomes.
    if found is None or found["outcome"] not in OUTCOMES:
        return None
    counts = found["candidates"]
    local, remote = (Candidates(**counts[side]) if counts else None for side in ("local", "remote"))
    return CallReport(
        outcome=found["outcome"],
        **_texts(found, "ice_state dtls_state protocol candidate_type microphone"),
        after_ms=int(found["after_ms"]),
        local=local,
        remote=remote,
        at=int(found["at"]),
    )


def _texts(found: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: _text(found[name]) for name in names.split()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _version(found: dict[str, Any]) -> int:
    """The record's version. The release 0.1.0 names none, and knows only the first."""
    return int(found.get("version", 1))


def _time(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not 200. ``code`` and ``message`` are empty when the body is not an error of ours."""

    status: int
    code: str = ""
    message: str = ""

    @property
    def absent(self) -> bool:
        """Whether the handle or call that was asked for does not exist."""
        return self.code in _ABSENT_CODES


def refusal_of(status: int, content: bytes) -> Refusal:
    """Read ``{"error": {"message", "code"}}``; of any other body only the status is kept."""
    try:
        error = orjson.loads(content)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return Refusal(status)
    return Refusal(status, legible(code)[:64], legible(one_safe_line(message, limit=_LONGEST_MESSAGE)))


def failure_of(refusal: Refusal, *, base: str) -> CliFailure:
    """The failure that ends the command: what was refused, and what to do."""
    status, said = refusal.status, refusal.message
    if status == 401:
        return CliFailure(
            f"{base} refuses the admin key. CLOAKROOM_ADMIN_KEY, or the file of --admin-key-file, must hold "
            "one of the keys in its CLOAKROOM_ADMIN_KEYS.",
            status=EXIT_UNREACHED,
        )
    if status == 403:
        return CliFailure(f"{base} refuses: {said or 'status 403'}", status=EXIT_UNREACHED)
    if status in (404, 405) or 300 <= status < 400:
        advice = f" It says: {said}" if said else ""
        return CliFailure(
            f"there is no admin API at {base} (status {status}): it answers where CLOAKROOM_ADMIN_KEYS is "
            f"set, and only on CLOAKROOM_OPS_PORT where that is set.{advice}",
            status=EXIT_UNREACHED,
        )
    if status in (400, 413, 415, 422):
        return CliFailure(f"{base} refuses: {said or f'status {status}'}", status=EXIT_REFUSED)
    reason = f"{refusal.code}: {said}" if said else f"status {status}"
    return CliFailure(f"{base} cannot do it now: {reason}", status=EXIT_UNREACHED)


class EventReader:
    """Reads Server-Sent Events (HTML standard, section 9.2) line by line."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, line: bytes) -> Event | None:
        """Take one line; return the event when the line ends one."""
        line = line.rstrip(b"\r\n")
        if not line:
            name, data = self._name, b"\n".join(self._data)
            self._name, self._data = "", []
            if not name or not data:
                return None
            fields = orjson.loads(data)
            if not isinstance(fields, dict):
                raise TypeError("the data of an event is a JSON object")
            return Event(name, fields)
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.strip().decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
