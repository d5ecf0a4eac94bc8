"""The metrics of sidebands: how many are open, what went through them, and why others were not opened."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import Counter, Gauge

from app.errors import CloakroomError
from app.telemetry.metrics import Family, Metrics, code_of
from app.telemetry.timings import Timings

OPEN: Final = Family("cloakroom_sidebands_open", "gauge", (), "Sidebands that are open, or being opened.")
CLOSED: Final = Family(
    "cloakroom_sidebands_closed_total", "counter", ("reason",), "Sidebands that were open, by why they ended."
)
REFUSED: Final = Family(
    "cloakroom_sidebands_refused_total", "counter", ("code",), "Sidebands that were not opened."
)
EVENTS: Final = Family(
    "cloakroom_sideband_events_total", "counter", ("source",), "Events that sidebands passed on."
)
AUDIO: Final = Family(
    "cloakroom_sideband_audio_events_total",
    "counter",
    ("source",),
    "Events with audio that sidebands did not pass on.",
)

Source = Literal["provider", "backend"]
SOURCES: Final[tuple[Source, ...]] = ("provider", "backend")
# ``backend``: it left, or its connection broke; ``over``: the call is; ``provider``: it closed the socket;
# ``lost``: the provider's connection broke; ``drained``: this replica ends; ``invalid``: the backend sent
# what is no text, or too much; ``failed``: a defect of ours.
CLOSINGS: Final = ("backend", "over", "provider", "lost", "drained", "invalid", "failed")
# Exposed from the start; any other code is possible.
_USUAL_CODES: Final = (
    "invalid_api_key",
    "call_id_not_found",
    "call_not_attachable",
    "overloaded",
    "draining",
)


class SidebandMetrics:
    """Counts sidebands, beside the requests that ``metrics`` counts."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._metrics = metrics
        self.open = Gauge(OPEN.name, OPEN.meaning, registry=registry)
        self._closed = Counter(CLOSED.name, CLOSED.meaning, CLOSED.labels, registry=registry)
        self._refused = Counter(REFUSED.name, REFUSED.meaning, REFUSED.labels, registry=registry)
        events = Counter(EVENTS.name, EVENTS.meaning, EVENTS.labels, registry=registry)
        audio = Counter(AUDIO.name, AUDIO.meaning, AUDIO.labels, registry=registry)
        # ``labels()`` takes longer than ``inc()``.
        self.passed = {source: events.labels(source) for source in SOURCES}
        self.audio = {source: audio.labels(source) for source in SOURCES}
        for closing in CLOSINGS:
            self._closed.labels(closing)
        for code in _USUAL_CODES:
            self._refused.labels(code)

    def closed(self, reason: str) -> None:
        """Count a sideband that ended; ``reason`` is one of ``CLOSINGS``."""
        self._closed.labels(reason).inc()

    def refused(self, error: CloakroomError) -> None:
        """Count a sideband that was not opened."""
        self._refused.labels(code_of(error)).inc()

    def tried(self, timings: Timings) -> None:
        """Count its handshake with the provider."""
        self._metrics.tried("sideband", timings)
