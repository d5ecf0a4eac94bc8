"""A log of security events for tests that build single parts: it counts, and writes nothing to a store."""

from __future__ import annotations

import time
from typing import Any

from app.broker.security.events import KINDS, SecurityLog
from app.models import Clocks
from app.telemetry.metrics import Metrics
from app.telemetry.parts.security import SecurityMetrics


def security_log() -> SecurityLog:
    """One that is not started, so that what it notes stays in it."""
    never_asked: Any = None
    return SecurityLog(
        metrics=SecurityMetrics(Metrics(models=(), deployments=()), KINDS),
        suspicions=never_asked,
        clocks=Clocks(time.time, time.monotonic),
    )
