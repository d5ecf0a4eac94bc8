"""How long a freshly minted key still lives. Pure.

The clock rule: ``expires_at`` is a time on the *provider's* clock, so only the provider's clock can turn it
into a remaining life. Its ``Date`` header tells that clock to the second. The remaining life, a duration,
is what everything else is built on: Redis gets it as a relative expiry, and the handle's ``exp`` is our
own clock plus it. Thus skew between provider, replica and Redis cannot stretch a handle's life.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from app.errors import UpstreamError
from app.models import MAX_KEY_SECONDS, EphemeralKey

# A Date further off than this is a broken header, not a clock: then ours is the better guess.
_BELIEVABLE_SKEW_SECONDS: Final = 86_400.0
# Up to this far apart, our clock and the Date's second describe the same moment, seen with delay.
_IN_STEP_SECONDS: Final = 2.0
# Rounding slack, so that clocks in step give exactly the provider's own ``expires_at``.
_ROUNDING: Final = 0.01


@dataclass(frozen=True, slots=True)
class Life:
    """``seconds`` are left; ``expires_at`` is the end in epoch seconds on our own clock."""

    seconds: float
    expires_at: int


def life_of(key: EphemeralKey, date_header: str | None, *, now: float) -> Life:
    """Return what is left of a key's life at our time ``now`` (epoch seconds).

    Raises:
        UpstreamError: nothing is left; such a key is never stored.
    """
    if key.expires_at is not None:
        return remaining_life(key.expires_at, date_header, now=now)
    # Its life began at most a round trip ago, on any clock.
    if key.seconds <= 0:
        raise UpstreamError("The provider minted a key and named no end of its life.")
    return Life(seconds=key.seconds, expires_at=int(now + key.seconds))


def remaining_life(key_expires_at: int, date_header: str | None, *, now: float) -> Life:
    """Return what is left of a key's life at our time ``now`` (epoch seconds).

    Raises:
        UpstreamError: nothing is left; such a key is never stored.
    """
    seconds = min(key_expires_at - _provider_now(date_header, now), MAX_KEY_SECONDS)
    expires_at = int(now + seconds + _ROUNDING)
    if seconds <= 0 or expires_at <= now:
        raise UpstreamError("The provider minted a key that has already expired.")
    return Life(seconds=seconds, expires_at=expires_at)


def _provider_now(date_header: str | None, now: float) -> float:
    date = _epoch(date_header) if date_header else None
    if date is None or abs(date - now) > _BELIEVABLE_SKEW_SECONDS:
        return now
    if abs(date + 0.5 - now) <= _IN_STEP_SECONDS:
        # Date has no fractions: the provider's clock stood somewhere in [date, date + 1).
        return min(max(now, date), date + 1.0)
    return date + 0.5


@lru_cache(maxsize=4)
def _epoch(date_header: str) -> float | None:
    try:
        date = parsedate_to_datetime(date_header)
        # RFC 9110, section 5.6.7: the obsolete asctime form names no zone, and every form means GMT.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
