"""The trace of a request: read from its headers, and passed on to the provider.

The headers are those of W3C Trace Context (https://www.w3.org/TR/trace-context/). A caller wrote them, so
they are checked character by character before they are used. ``app.telemetry.otel`` adds spans to a trace;
nothing here needs OpenTelemetry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.telemetry.timings import OutgoingSpan, Timings, Trace, TryOutcome

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# Version, trace id, parent id, flags. A later version may add more after another dash (section 3.2.4).
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]*)?\Z"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?|[a-z0-9][a-z0-9_*/-]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)
# Section 3.3.1.1; and our own limits on what a caller can have us carry, in characters.
_MOST_MEMBERS: Final = 32
_LONGEST_PARENT: Final = 256
_LONGEST_STATE: Final = 4096
_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to. The ids are lower-case hexadecimal, with 32 and 16 digits.

    ``parent`` is the header ``traceparent``, unchanged. ``state`` is ``tracestate``; it is empty where there
    is none to pass on.
    """

    trace_id: str
    parent_id: str
    sampled: bool
    parent: str
    state: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """Return the headers that pass the trace on unchanged."""
        return outgoing(self.parent, self.state)


def outgoing(parent: str, state: str) -> dict[str, str]:
    """Return the headers of a request that belongs to a trace."""
    return {TRACEPARENT: parent, TRACESTATE: state} if state else {TRACEPARENT: parent}


def read_trace_context(parents: Sequence[str], states: Sequence[str]) -> TraceContext | None:
    """Read the values of both headers; None unless there is one ``traceparent`` and it is well-formed.

    A malformed ``tracestate`` is left out, as the standard demands.
    """
    if len(parents) != 1 or len(parents[0]) > _LONGEST_PARENT:
        return None
    found = _PARENT.match(parents[0])
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return TraceContext(
        trace_id=found["trace"],
        parent_id=found["parent"],
        sampled=bool(int(found["flags"], 16) & _SAMPLED),
        parent=parents[0],
        state=_state(states),
    )


def _state(values: Sequence[str]) -> str:
    """Join the headers to one list. An empty member is allowed; a key that occurs twice is not."""
    whole = ",".join(values)
    members = [member for part in whole.split(",") if (member := part.strip(" \t"))]
    if len(whole) > _LONGEST_STATE or len(members) > _MOST_MEMBERS:
        return ""
    keys: Mapping[str, None] = dict.fromkeys(
        found["key"] for member in members if (found := _MEMBER.match(member)) is not None
    )
    return whole if len(keys) == len(members) else ""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a trace tells about an answered request. ``fields`` are those of its log line."""

    operation: str
    route: str
    status: int
    code: str | None
    model: str
    deployment: str
    fields: Mapping[str, Any]


class RequestTrace(Trace, Protocol):
    """The trace of one request to this service."""

    def end(self, ending: Ending, timings: Timings) -> None:
        """The request was answered. A trace that is never ended is not exported."""


class Tracing(Protocol):
    """Begins the traces of this service."""

    def begin(self, incoming: TraceContext | None) -> RequestTrace | None:
        """Begin the trace of a new request; None where there is nothing to pass on."""

    def record(
        self, name: str, attributes: Mapping[str, str | float], *, started: float, ended: float
    ) -> None:
        """Record what is over and belongs to no request. Times are epoch seconds."""


class PassingOn:
    """Passes an incoming trace on to the provider, unchanged, and records nothing."""

    def begin(self, incoming: TraceContext | None) -> RequestTrace | None:
        return None if incoming is None else _Passed(incoming)

    def record(
        self, name: str, attributes: Mapping[str, str | float], *, started: float, ended: float
    ) -> None:
        pass


class _Passed:
    __slots__ = ("_headers", "sampled", "trace_id")

    def __init__(self, incoming: TraceContext) -> None:
        self.trace_id = incoming.trace_id
        self.sampled = incoming.sampled
        self._headers = incoming.headers()

    def ask(self, deployment: str | None, method: str = "POST") -> OutgoingSpan:
        return _Unrecorded(self._headers)

    def end(self, ending: Ending, timings: Timings) -> None:
        pass


class _Unrecorded:
    __slots__ = ("headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def end(self, outcome: TryOutcome, status: int | None) -> None:
        pass
