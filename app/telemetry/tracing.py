"""Traces: what the gate begins and ends, and the way without OpenTelemetry, which is to pass a trace on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.telemetry.timings import OutgoingSpan, Timings, Trace, TryOutcome
from app.telemetry.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class Ending:
    """What is told of a request that is over, in words of ours; ``fields`` are those of its log line."""

    operation: str
    route: str
    status: int
    code: str | None
    model: str
    deployment: str
    fields: Mapping[str, Any]


class RequestTrace(Trace, Protocol):
    """The trace of one request of ours."""

    def end(self, ending: Ending, timings: Timings) -> None:
        """The request was answered; one that never ends is told to nobody."""


class Tracing(Protocol):
    """Where the traces of this service begin."""

    def begin(self, incoming: TraceContext | None) -> RequestTrace | None:
        """The trace of a request that just came; None where there is nothing to pass on."""


class PassingOn:
    """A trace that came in goes on to the provider, unchanged; nobody here keeps one."""

    def begin(self, incoming: TraceContext | None) -> RequestTrace | None:
        return None if incoming is None else _Passed(incoming)


class _Passed:
    __slots__ = ("_headers", "sampled", "trace_id")

    def __init__(self, incoming: TraceContext) -> None:
        self.trace_id = incoming.trace_id
        self.sampled = incoming.sampled
        self._headers = incoming.headers()

    def ask(self, deployment: str | None) -> OutgoingSpan:
        return _Unrecorded(self._headers)

    def end(self, ending: Ending, timings: Timings) -> None:
        pass


class _Unrecorded:
    __slots__ = ("headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def end(self, outcome: TryOutcome, status: int | None) -> None:
        pass
