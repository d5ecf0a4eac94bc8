"""A GPT-Live session without a peer, and how every one of them ends. Needs nothing of the extra `sandbox`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .outbox import Sink, event_text

# A session is billed for so many seconds as soon as it is created.
LEAST_BILLED = 15.0
# Why a session ended, by what ended the call here.
_REASONS = {
    "hangup": "close_requested",
    "close_requested": "close_requested",
    "session_expired": "expired",
    "closed": "remote_hangup",
}


def closed_text(session: Mapping[str, Any], reason: str, seconds: float) -> dict[str, Any]:
    """The fields of `session.closed`, by what ended the call here."""
    told = _REASONS.get(reason, "connection_lost")
    return {"reason": told, "session": dict(session), "usage": {"seconds": seconds}}


class SilentLive:
    """A Live session without a peer: a sideband gets its beginning and its end."""

    def __init__(self, session: Mapping[str, Any]) -> None:
        self._session = session
        self._sinks: list[Sink] = []

    def attach(self, sink: Sink) -> None:
        self._sinks.append(sink)
        sink(event_text("session.started", {"session": dict(self._session)}))

    def detach(self, sink: Sink) -> None:
        self._sinks.remove(sink)

    def ending(self, reason: str) -> None:
        """Say why it ended."""
        text = event_text("session.closed", closed_text(self._session, reason, LEAST_BILLED))
        for sink in self._sinks:
            sink(text)
