"""How long a freshly minted key still lives. Pure.

The clock rule: ``expires_at`` is a time on the *provider's* clock, so only the provider's clock can turn it
into a remaining life. Its ``Date`` header tells that clock to the second. The remaining life, a duration,
is what everything else is built on: Redis gets it as a relative expiry, and the handle's ``exp`` is our
own clock plus it. Thus skew between provider, replica and Redis cannot stretch a handle's life.

Where the header leaves a doubt, the life is the shortest that it can be: a handle never outlives its key.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from app.errors import UpstreamError
from app.models import MAX_KEY_SECONDS, EphemeralKey, value

# A Date further off than this is a broken header, not a clock: then ours is the better guess.
_BELIEVABLE_SKEW_SECONDS: Final = 86_400.0
# After a slower answer than this, its Date does not tell whether our clock is in step.
_PROMPT_ANSWER_SECONDS: Final = 1.5
# Rounding slack, so that clocks in step give exactly the provider's own ``expires_at``.
_ROUNDING: Final = 0.01
# A key of a pool has to live so much longer than the usual handle when it is handed out, in seconds: what the
# doubt about the provider's clock, the way to the store and the rounding of ``exp`` may take.
_POOL_DOUBT: Final = 2.0
# Where a provider gave a pool less than this share of the life that it asked for, it does not heed wishes.
_HEEDED: Final = 0.75
# The store's clock starts when the record arrives there, which is a moment after the life was reckoned.
_WRITE_SECONDS: Final = 0.1


@value
class Life:
    """``seconds`` are what a record may last; ``expires_at`` is the end in epoch seconds on our own clock."""

    seconds: float
    expires_at: int


def life_of(key: EphemeralKey, date_header: str | None, *, now: float, under_way: float) -> Life:
    """Return what is left of a key's life at our time ``now`` (epoch seconds).

    Args:
        under_way: seconds between sending the request and ``now``.

    Raises:
        UpstreamError: nothing is left; such a key is never stored.
    """
    if key.expires_at is not None:
        return remaining_life(key.expires_at, date_header, now=now, under_way=under_way)
    if key.seconds <= 0:
        raise UpstreamError("The provider minted a key and named no end of its life.")
    # Its life began after the request was sent, on any clock.
    return _life(key.seconds - under_way, now)


def own_life(seconds: float, *, now: float) -> Life:
    """Return the life of what no provider minted: it begins at our time ``now`` (epoch seconds)."""
    return _life(seconds, now)


def least_left(seconds: float, *, usual: float) -> float:
    """How much of a life of so many ``seconds`` must be left for a pool to hand its key out.

    The pool asked for twice the ``usual`` life of a handle, so no handle is shorter for it. Where the
    provider gave another life, half of that.
    """
    heeded = usual + _POOL_DOUBT
    return max(heeded, seconds / 2) if heeded < seconds * _HEEDED else seconds / 2


def remaining_life(key_expires_at: int, date_header: str | None, *, now: float, under_way: float) -> Life:
    """Return what is left of a life that ends at this time of the provider's; the rest as ``life_of``."""
    return _life(key_expires_at - _provider_now(date_header, now, under_way), now)


def _life(seconds: float, now: float) -> Life:
    seconds = min(seconds, MAX_KEY_SECONDS)
    expires_at = int(now + seconds + _ROUNDING)
    if seconds <= _WRITE_SECONDS or expires_at <= now:
        raise UpstreamError("The provider minted a key that has already expired.")
    return Life(seconds=seconds - _WRITE_SECONDS, expires_at=expires_at)


def _provider_now(date_header: str | None, now: float, under_way: float) -> float:
    """The provider's time, at the latest."""
    date = _epoch(date_header) if date_header else None
    if date is None or abs(date - now) > _BELIEVABLE_SKEW_SECONDS:
        return now
    # Date has no fractions, and says when the answer was made: after the request was sent.
    latest = date + 1.0 + under_way
    # Then our clock is as good as the provider's: a smaller difference cannot be seen.
    in_step = under_way <= _PROMPT_ANSWER_SECONDS and date - _ROUNDING <= now <= latest
    return max(now, date) if in_step else latest


@lru_cache(maxsize=4)
def _epoch(date_header: str) -> float | None:
    try:
        date = parsedate_to_datetime(date_header)
        # RFC 9110, section 5.6.7: the obsolete asctime form names no zone, and every form means GMT.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
