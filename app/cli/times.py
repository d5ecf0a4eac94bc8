"""Times for people: how long ago, how long to go, and the exact time in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
# Clocks of two machines differ: a time less than this in the future counts as now.
_SKEW: Final = 60


def span(seconds: float) -> str:
    """``12 s``, ``9 min``, ``1 h 5 min``, ``3 d``; rounded down, so that it never overstates."""
    whole = max(int(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        minutes = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR} h" + (f" {minutes} min" if minutes else "")
    return f"{whole // _DAY} d"


def exact_span(seconds: float) -> str:
    """As ``span``, but below an hour with seconds: ``9 min 12 s``."""
    whole = max(int(seconds), 0)
    if _MINUTE <= whole < _HOUR and whole % _MINUTE:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return span(seconds)


def ago(then: float, now: float) -> str:
    """``5 s ago``. Both are epoch seconds."""
    if then > now + _SKEW:
        return f"in {span(then - now)}"
    return f"{span(now - then)} ago"


def utc(then: float) -> str:
    """``2026-11-21 15:04:05 UTC`` for epoch seconds; a number that is no date is shown unchanged."""
    try:
        return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{then} (epoch seconds)"
