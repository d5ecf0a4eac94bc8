"""The provider's own clock, which need not agree with anybody else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class ProviderClock:
    """Epoch seconds as the provider sees them: the host's, plus a skew that may change at any time."""

    def __init__(self, now: Callable[[], float] = time.time, skew: float = 0.0) -> None:
        self._now = now
        self.skew = skew

    def time(self) -> float:
        """The provider's time in epoch seconds."""
        return self._now() + self.skew

    def http_date(self) -> str:
        """The provider's time as an HTTP `Date` (RFC 9110, section 5.6.7)."""
        return formatdate(self.time(), usegmt=True)
