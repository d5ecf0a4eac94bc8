"""Whether spans are exported, by OpenTelemetry's usual variables. The service starts without them, too."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from app.telemetry.otel import OtelTracing

log = structlog.get_logger("cloakroom.tracing")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def wanted(environ: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's variables ask for spans: by an endpoint, or by the exporter's name.

    ``OTEL_TRACES_EXPORTER=none`` and ``OTEL_SDK_DISABLED=true`` win.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter != "" or any(environ.get(name) for name in _ENDPOINTS)


def obstacle(environ: Mapping[str, str]) -> str | None:
    """Return why the spans that are asked for cannot be exported, and what to do; None when they can."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", "otlp"):
        return "OTEL_TRACES_EXPORTER names an exporter that is not here; set it to otlp or none"
    protocol = next((environ[name].strip() for name in _PROTOCOLS if environ.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        return (
            f"spans are sent over {_PROTOCOL} only; set OTEL_EXPORTER_OTLP_PROTOCOL to it, and the endpoint "
            "to the collector's HTTP port (4318)"
        )
    if not all(_installed(module) for module in _NEEDED):
        return "OpenTelemetry is not installed; run: pip install 'cloakroom[otel]'"
    return None


def tracing_from_environment(environ: Mapping[str, str], *, replica: str) -> OtelTracing | None:
    """Return the tracing that the variables ask for; None when they ask for none, or when it is impossible.

    The service starts even then, and logs why. The SDK reads the other variables itself, from the environment
    of the process: sampler, resource, limits, the exporter's headers and timeouts.
    """
    if not wanted(environ):
        return None
    reason = obstacle(environ)
    if reason is not None:
        log.warning("tracing_off", reason=reason)
        return None
    # Imported here because the libraries take 75 ms and 20 MB, which a service without spans need not pay.
    from app.telemetry.otel import exporting

    log.info("tracing_on", protocol=_PROTOCOL)
    return exporting(environ, replica=replica)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
