"""A caller of the mint endpoint, and what it may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a client's calls may come to over all replicas; None for no limit.

    The first two are calls at once, the others seconds of calls on one day of UTC.
    """

    max_open_calls: int | None = None
    max_open_calls_per_subject: int | None = None
    max_call_seconds_per_day: int | None = None
    max_call_seconds_per_day_per_subject: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        return self is not NO_LIMITS and self != NO_LIMITS

    @property
    def by_day(self) -> bool:
        """Whether the seconds of a day are limited."""
        return bool(self.max_call_seconds_per_day or self.max_call_seconds_per_day_per_subject)


NO_LIMITS: Final = CallLimits()


@dataclass(frozen=True, slots=True)
class Client:
    """A configured caller of the mint endpoint.

    ``models`` are the aliases that it may mint for, None for all; ``mints_per_minute`` is its limit
    across all replicas, and ``..._per_subject`` that of each of its subjects. ``max_call_seconds`` is the
    longest that one of its calls may last, ``max_live_handles`` how many handles it has at once; None for no
    limit.
    """

    name: str
    models: frozenset[str] | None = None
    mints_per_minute: int | None = None
    mints_per_minute_per_subject: int | None = None
    max_call_seconds: int | None = None
    max_live_handles: int | None = None
    call_limits: CallLimits = NO_LIMITS

    def may_use(self, alias: str) -> bool:
        return self.models is None or alias in self.models
