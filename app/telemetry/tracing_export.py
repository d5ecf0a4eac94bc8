"""Spans on their way to a collector: OTLP over HTTP, in batches, from a thread of the SDK's."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from app import __version__
from app.telemetry.tracing_otel import OtelTracing


def exporting(environ: Mapping[str, str], *, replica: str) -> OtelTracing:
    """Tracing that sends its spans to where the environment of the process says."""
    ours = {"service.version": __version__, "service.instance.id": replica}
    # The SDK's own default would be "unknown_service:python"; whoever names the service wins.
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        ours["service.name"] = "cloakroom"
    provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTracing(provider)
