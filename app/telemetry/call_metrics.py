"""The metrics of what becomes of calls after their relay: orphans, and calls whose deadline came."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

from app.telemetry.metrics import Family, Metrics
from app.telemetry.timings import Timings

ORPHANS: Final = Family(
    "cloakroom_calls_orphaned_total",
    "counter",
    ("reason",),
    "Calls that no browser holds: their answer was not delivered, or came too late.",
)
OVERDUE: Final = Family(
    "cloakroom_overdue_hangups_total",
    "counter",
    ("reason", "outcome"),
    "What became of calls whose deadline had come; a failed hang-up is tried again.",
)
# Why a call is an orphan, and why one is hung up without a request; ``app.store.records.deadlines`` has the
# same words.
ORPHAN_REASONS: Final = ("undelivered", "lost")
HANGUP_REASONS: Final = (*ORPHAN_REASONS, "max_call_seconds")
# What usually becomes of a call whose deadline has come; docs/metrics.md has all words.
_USUAL_ENDS: Final = ("ended", "fetched", "failed")


class CallMetrics:
    """Counts calls, beside the requests that ``metrics`` counts."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._orphans = Counter(ORPHANS.name, ORPHANS.meaning, ORPHANS.labels, registry=metrics.registry)
        self._overdue = Counter(OVERDUE.name, OVERDUE.meaning, OVERDUE.labels, registry=metrics.registry)
        # Exposed from the start, at zero.
        for reason in ORPHAN_REASONS:
            self._orphans.labels(reason)
        for reason in HANGUP_REASONS:
            for outcome in _USUAL_ENDS:
                self._overdue.labels(reason, outcome)

    def orphaned(self, reason: str) -> None:
        """Count a call that no browser holds; ``reason`` is one of ``ORPHAN_REASONS``."""
        self._orphans.labels(reason).inc()

    def overdue(self, reason: str, outcome: str, timings: Timings) -> None:
        """Count what became of a call whose deadline had come, and its requests to the provider."""
        self._overdue.labels(reason, outcome).inc()
        self._metrics.tried("hangup", timings)
