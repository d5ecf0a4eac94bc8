"""The metrics of security events, and of the webhook that tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter

from app.telemetry.metrics import Family, Metrics

EVENTS: Final = Family(
    "cloakroom_security_events_total",
    "counter",
    ("kind",),
    "Things that an honest caller does not do, such as a handle that comes back from elsewhere.",
)
DELIVERIES: Final = Family(
    "cloakroom_security_webhook_deliveries_total",
    "counter",
    ("result",),
    "Messages that were sent to the security webhook; a retry is one more.",
)
DROPPED: Final = Family(
    "cloakroom_security_events_dropped_total",
    "counter",
    ("reason",),
    "Security events that were counted and logged, and that nothing else will tell.",
)

# ``refused``: the receiver answered with another status than 2xx; ``unreachable``: it did not answer.
DELIVERY_RESULTS: Final = ("delivered", "refused", "unreachable")
# ``overrun``: too many at once in this process; ``queue_full``: too many wait for the receiver; ``expired``:
# one waited for a day; ``unreadable``: what the queue had is not as it was written; ``shutdown``: the store
# did not take it before this process ended.
DROP_REASONS: Final = ("overrun", "queue_full", "expired", "unreadable", "shutdown")


class SecurityMetrics:
    """Counts security events by their kinds, which are given, since they are shown at zero from the start."""

    def __init__(self, metrics: Metrics, kinds: Iterable[str]) -> None:
        registry = metrics.registry
        self._events = Counter(EVENTS.name, EVENTS.meaning, EVENTS.labels, registry=registry)
        self._deliveries = Counter(DELIVERIES.name, DELIVERIES.meaning, DELIVERIES.labels, registry=registry)
        self._dropped = Counter(DROPPED.name, DROPPED.meaning, DROPPED.labels, registry=registry)
        for kind in kinds:
            self._events.labels(kind)
        for result in DELIVERY_RESULTS:
            self._deliveries.labels(result)
        for reason in DROP_REASONS:
            self._dropped.labels(reason)

    def reported(self, kind: str) -> None:
        """Count an event."""
        self._events.labels(kind).inc()

    def delivered(self, result: str) -> None:
        """Count a message that was sent; ``result`` is one of ``DELIVERY_RESULTS``."""
        self._deliveries.labels(result).inc()

    def dropped(self, reason: str, number: int = 1) -> None:
        """Count events that nothing else will tell; ``reason`` is one of ``DROP_REASONS``."""
        self._dropped.labels(reason).inc(number)
