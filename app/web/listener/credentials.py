"""Addresses that send credentials of no value, counted in the memory of this process.

Each address may send some, and gets so many again in a minute (the leaky bucket as a meter). From then on its
bad credentials get 429 until it may send one again. A good credential is never refused, so a caller behind
the same address is not locked out. Counting in the store would make a refusal dearer than what is refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import structlog

from app.errors import CloakroomError, InvalidApiKey, InvalidHandle, InvalidToken, RateLimited
from app.telemetry.parts.protection import ProtectionMetrics

log = structlog.get_logger("cloakroom.credentials")

# A handle that expired or was revoked is of ours: its bearer must learn that, to mint another one.
COUNTED: Final = (InvalidApiKey, InvalidHandle, InvalidToken)
# Addresses that are remembered, at 200 bytes each. One more, and the one that sent none for longest goes.
MOST_ADDRESSES: Final = 10_000
LOG_SECONDS: Final = 10.0
_MINUTE: Final = 60.0
_MESSAGE: Final = (
    "Too many requests without a valid key or handle came from your address. Check the credential that you "
    "send. A valid one is served at any time."
)


class RefusedCredentials:
    """Counts refused credentials by address, and says which addresses sent too many.

    An address is what ``app.web.addresses.counted_as`` makes of one.

    Args:
        per_minute: of one address; 0 counts nothing.
        metrics: counts what is refused and what is limited.
        clock: returns seconds that never jump.
    """

    def __init__(
        self, per_minute: int, metrics: ProtectionMetrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = _MINUTE / per_minute if per_minute else 0.0
        self._metrics = metrics
        self._clock = clock
        # When the bucket of an address will be full again; the one that sent one last stands last.
        self._full_at: dict[str, float] = {}
        # Of the addresses that sent too many: when they may send one again. Empty nearly always.
        self.over: dict[str, float] = {}
        self._over_until = 0.0
        self._tell_at = -math.inf
        self._untold = 0

    def error(self) -> RateLimited:
        """What a bad credential gets from an address that sent too many."""
        return RateLimited(_MESSAGE, retry_after=max(1, math.ceil(self._interval)))

    def judged(self, error: CloakroomError, address: Callable[[], str]) -> CloakroomError:
        """The error to answer with in place of this one; counts it where a credential was of no value."""
        if not isinstance(error, COUNTED):
            return error
        if self._interval and self._counts(address()):
            self._metrics.limited.inc()
            return self.error()
        self._metrics.refused.inc()
        return error

    def limits(self, address: str) -> bool:
        """Whether the address sent too many, so that one more bad credential of it is refused at once."""
        now = self._clock()
        if now >= self._over_until:
            self.over.clear()
            return False
        if self.over.get(address, 0.0) <= now:
            self.over.pop(address, None)
            return False
        return True

    def limited_at_once(self) -> None:
        """A bad credential of such an address was refused before its request was parsed."""
        self._metrics.limited.inc()
        # Told with the next one that is parsed, which comes soon: each address gets one now and then.
        self._untold += 1

    def _counts(self, address: str) -> bool:
        """Count one; return whether it was one too many."""
        now = self._clock()
        full_at = max(self._full_at.pop(address, now), now)
        # Too many are not added, so a flood does not lengthen its own wait.
        one_too_many = full_at + self._interval > now + _MINUTE + 1e-6
        self._full_at[address] = full_at if one_too_many else full_at + self._interval
        if one_too_many:
            self.over[address] = until = full_at + self._interval - _MINUTE
            self._over_until = max(self._over_until, until)
            self._tell(address, now)
        elif len(self._full_at) > MOST_ADDRESSES:
            self._forget(next(iter(self._full_at)))
        return one_too_many

    def _forget(self, address: str) -> None:
        del self._full_at[address]
        self.over.pop(address, None)

    def _tell(self, address: str, now: float) -> None:
        """One line in ``LOG_SECONDS`` at most, whatever comes."""
        self._untold += 1
        if now < self._tell_at:
            return
        log.warning("credentials_limited", address=address, limited=self._untold, addresses=len(self.over))
        self._tell_at, self._untold = now + LOG_SECONDS, 0
