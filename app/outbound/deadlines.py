"""One timer for all requests under way: making and ending a timer for each would cost more than parsing."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

# Loops round to their own tick, up to a millisecond to either side.
_TICK_SECONDS: Final = 0.001


class Waiting(Protocol):
    """Something that waits, and is told when it has waited long enough."""

    def late(self) -> None:
        """Its time is up."""


class Deadlines:
    """Most are equally far off when they are added, so the timer is seldom moved.

    Make it inside the running loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until: dict[Waiting, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf

    def add(self, one: Waiting, until: float) -> None:
        """Tell it when the loop's clock says ``until``, in seconds, unless it is discarded before."""
        self._until[one] = until
        if until < self._armed_for:
            self._arm(until)

    def discard(self, one: Waiting) -> None:
        """It waits no longer. The timer is left as it is: it finds nothing due."""
        self._until.pop(one, None)

    def close(self) -> None:
        """Tell nobody any more."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = until
        self._timer = self._loop.call_at(until, self._fire)

    def _fire(self) -> None:
        self._timer, self._armed_for = None, math.inf
        now = self._loop.time() + _TICK_SECONDS
        for one in [one for one, until in self._until.items() if until <= now]:
            self.discard(one)
            one.late()
        if self._until:
            self._arm(min(self._until.values()))
