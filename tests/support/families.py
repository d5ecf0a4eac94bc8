"""Every metric that the service defines."""

from __future__ import annotations

from typing import Final

from app.telemetry import (
    call_metrics,
    identity_metrics,
    metrics,
    scrape,
    sideband_metrics,
    usage,
)
from app.telemetry.metrics import Family
from app.telemetry.parts import pool, protection, security
from app.telemetry.workers import merged

FAMILIES: Final = tuple(
    value
    for module in (
        metrics,
        call_metrics,
        sideband_metrics,
        protection,
        identity_metrics,
        security,
        pool,
        usage,
        scrape,
        merged,
    )
    for value in vars(module).values()
    if isinstance(value, Family)
)
