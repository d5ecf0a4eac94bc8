"""Spans of our own, with OpenTelemetry's SDK: the extra ``otel``. Nothing else imports it.

A request has a server span; each request to the provider is a client span that the provider's trace joins,
and each step at the store is another, made afterwards from its times. An attribute is a status, a word of
ours, or a random id: no header, no body, no address of a caller, no exception's text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from app import __version__
from app.telemetry.timings import OutgoingSpan, Timings, TryOutcome
from app.telemetry.trace_context import TraceContext, outgoing
from app.telemetry.tracing import Ending, RequestTrace

# Of a log line's fields, those that a span has, too, and under which name.
_FIELDS: Final = {
    "family": "cloakroom.family",
    "handle": "cloakroom.handle.id",
    "call_id": "cloakroom.call.id",
    "client": "cloakroom.client",
    "outcome": "cloakroom.outcome",
    "replayed": "cloakroom.replayed",
}


class OtelTracing:
    """Begins a trace for each request, or joins the one that came in.

    Args:
        provider: its sampler, processors and resource are the caller's choice.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("cloakroom", __version__)

    def begin(self, incoming: TraceContext | None) -> RequestTrace:
        return _Request(self._tracer, incoming)

    def close(self, *, wait: float) -> None:
        """Send what is left; blocks for ``wait`` seconds at most, then what is left is lost."""
        # The SDK would wait for a collector that hangs for as long as its own timeouts and retries add up to.
        ending = threading.Thread(target=self._provider.shutdown, name="traces-ending", daemon=True)
        ending.start()
        ending.join(wait)


class _Request:
    __slots__ = ("_context", "_epoch_ns", "_span", "_state", "_tracer", "sampled", "trace_id")

    def __init__(self, tracer: Tracer, incoming: TraceContext | None) -> None:
        # All spans of a request are on one clock: the system's may step meanwhile.
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()
        self._tracer = tracer
        # A caller may have written anything into tracestate: it goes on, and into no span.
        self._state = incoming.state if incoming is not None else ""
        parent = Context() if incoming is None else _remote(incoming)
        self._span = tracer.start_span(
            "request", context=parent, kind=SpanKind.SERVER, start_time=self._now()
        )
        self._context = set_span_in_context(self._span, Context())
        context = self._span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.sampled = context.trace_flags.sampled

    def ask(self, deployment: str | None) -> OutgoingSpan:
        span = self._tracer.start_span(
            "provider",
            context=self._context,
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": "POST", "cloakroom.deployment": deployment or "none"},
            start_time=self._now(),
        )
        return _Asking(span, self._state, self._now)

    def end(self, ending: Ending, timings: Timings) -> None:
        for step, started, ended in timings.store_steps:
            span = self._tracer.start_span(
                step,
                context=self._context,
                kind=SpanKind.CLIENT,
                start_time=self._ns(started),
                attributes={"db.system.name": "redis", "db.operation.name": step},
            )
            span.end(self._ns(ended))
        self._span.update_name(ending.operation)
        self._span.set_attributes(_attributes(ending))
        if ending.status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._now())

    def _ns(self, seconds: float) -> int:
        """A time of ``perf_counter`` in nanoseconds of the epoch."""
        return int(seconds * 1e9) + self._epoch_ns

    def _now(self) -> int:
        return self._ns(time.perf_counter())


class _Asking:
    __slots__ = ("_now", "_span", "headers")

    def __init__(self, span: Span, state: str, now: Callable[[], int]) -> None:
        self._span = span
        self._now = now
        context = span.get_span_context()
        # Of the flags, only "sampled" is known here (section 3.2.2.5 of the standard).
        sampled = int(context.trace_flags.sampled)
        parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"
        self.headers: Mapping[str, str] = outgoing(parent, state)

    def end(self, outcome: TryOutcome, status: int | None) -> None:
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is None or status >= 400:
            self._span.set_attribute("error.type", outcome if status is None else str(status))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._now())


def _remote(incoming: TraceContext) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if incoming.sampled else TraceFlags.DEFAULT)
    context = SpanContext(
        int(incoming.trace_id, 16), int(incoming.parent_id, 16), is_remote=True, trace_flags=flags
    )
    return set_span_in_context(NonRecordingSpan(context), Context())


def _attributes(ending: Ending) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "http.request.method": "POST",
        "http.route": ending.route,
        "http.response.status_code": ending.status,
        "cloakroom.model": ending.model,
        "cloakroom.deployment": ending.deployment,
    }
    if ending.code is not None:
        attributes["error.type"] = ending.code
    for name, attribute in _FIELDS.items():
        value = ending.fields.get(name)
        if value is not None:
            attributes[attribute] = value
    return attributes
