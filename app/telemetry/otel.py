"""Spans of our own, made and exported with OpenTelemetry's SDK. Only this module imports OpenTelemetry.

The extra ``otel`` installs it, so ``app.telemetry.tracing_setup`` imports this module only where spans are
asked for. A request has a server span. Each request to the provider is a client span, which the provider's
trace joins. Each step at the store is another client span, made afterwards from its times. An attribute is a
status, a word of ours or a random id: no header, body, caller's address or exception's text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
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
from app.telemetry.tracing import Ending, RequestTrace, TraceContext, outgoing

# The fields of a log line that a span also has, with the names of their attributes.
_FIELDS: Final = {
    "family": "cloakroom.family",
    "handle": "cloakroom.handle.id",
    "call_id": "cloakroom.call.id",
    "client": "cloakroom.client",
    "outcome": "cloakroom.outcome",
    "replayed": "cloakroom.replayed",
}


class OtelTracing:
    """Begins a trace for each request, or joins the incoming one.

    Args:
        provider: brings its sampler, processors and resource.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("cloakroom", __version__)

    def begin(self, incoming: TraceContext | None) -> RequestTrace:
        return _Request(self._tracer, incoming)

    def record(
        self, name: str, attributes: Mapping[str, str | float], *, started: float, ended: float
    ) -> None:
        span = self._tracer.start_span(
            name,
            context=Context(),
            kind=SpanKind.CLIENT,
            attributes=dict(attributes),
            start_time=int(started * 1e9),
        )
        span.end(int(ended * 1e9))

    def close(self, *, wait: float) -> None:
        """Export the last spans. Blocks for ``wait`` seconds at most; what is not sent by then is lost."""
        # The SDK waits for a hanging collector as long as all its timeouts and retries take.
        ending = threading.Thread(target=self._provider.shutdown, name="traces-ending", daemon=True)
        ending.start()
        ending.join(wait)


def exporting(environ: Mapping[str, str], *, replica: str) -> OtelTracing:
    """Return tracing that sends its spans over OTLP/HTTP, in batches, from a thread of the SDK."""
    ours = {"service.version": __version__, "service.instance.id": replica}
    # The SDK's default is "unknown_service:python". A name in the variables wins.
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        ours["service.name"] = "cloakroom"
    provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTracing(provider)


class _Request:
    __slots__ = ("_context", "_epoch_ns", "_span", "_state", "_tracer", "sampled", "trace_id")

    def __init__(self, tracer: Tracer, incoming: TraceContext | None) -> None:
        # All spans of a request use one clock: the system's clock may step meanwhile.
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()
        self._tracer = tracer
        # A caller can write anything into tracestate, so it is passed on and put into no span.
        self._state = incoming.state if incoming is not None else ""
        parent = Context() if incoming is None else _remote(incoming)
        self._span = tracer.start_span(
            "request", context=parent, kind=SpanKind.SERVER, start_time=self._now()
        )
        self._context = set_span_in_context(self._span, Context())
        context = self._span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.sampled = context.trace_flags.sampled

    def ask(self, deployment: str | None, method: str = "POST") -> OutgoingSpan:
        span = self._tracer.start_span(
            "provider",
            context=self._context,
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method, "cloakroom.deployment": deployment or "none"},
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
        """Return a time of ``perf_counter`` (seconds) as epoch nanoseconds."""
        return int(seconds * 1e9) + self._epoch_ns

    def _now(self) -> int:
        return self._ns(time.perf_counter())


class _Asking:
    __slots__ = ("_now", "_span", "headers")

    def __init__(self, span: Span, state: str, now: Callable[[], int]) -> None:
        self._span = span
        self._now = now
        context = span.get_span_context()
        # Only the flag "sampled" is known here (section 3.2.2.5 of the standard).
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
