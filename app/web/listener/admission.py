"""Admission control: whether the process has the time for one more request.

One event loop serves everything, so what queues is work for the loop. The wait shows in the loop's turns: in
one turn the loop reads every socket that has something and runs every callback that is ready, and a request
needs several turns. A long turn means that requests wait for the processor. A slow provider or store makes no
turn longer, however many requests wait for it, and so it sheds nothing.

A burst makes a few long turns and is served. When one turn after the other is long, more work comes in than
the loop can do. Then ``Admission`` sheds: it admits a request only while turns are short, which keeps the
queue short at any load. It stops when it had to refuse little for a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("cloakroom.admission")

# Seconds of a turn that is long, and how many of them in a row are overload. 256 requests that all want the
# processor make turns of 8 ms, and answers of 65 ms: late, but nothing that a caller must be sent away for.
LONG_TURN_SECONDS: Final = 0.012
LONG_TURNS: Final = 3
# While shedding: a request is admitted after a turn that was shorter than this.
SHORT_TURN_SECONDS: Final = 0.001
# So old a measurement tells nothing about now.
STALE_SECONDS: Final = 0.05
# Between two measurements while all is well: they cost little, and at high load next to nothing.
PAUSE_SECONDS: Final = 0.002
# Shedding goes on at least so long, and ends when it refused less than this part of what came meanwhile.
REVIEW_SECONDS: Final = 1.0
LITTLE: Final = 0.1


class Admission:
    """Measures the loop's turns, and says of each request whether it is admitted.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.shedding = False
        # The last turn that was measured, in seconds, and when.
        self._turn = 0.0
        self._measured = float("-inf")
        self._begun = 0.0
        self._measure_at = float("-inf")
        self._long_turns = 0
        # Of this second of shedding, and all that this time of shedding refused since it began.
        self._offered = self._refused = 0
        self._refused_before = 0
        self._shedding_since = 0.0

    @property
    def turn(self) -> float:
        """Seconds that the loop's last turn took; 0 when no request came lately."""
        return self._turn if self._clock() - self._measured < REVIEW_SECONDS else 0.0

    def admits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a request that just arrived may be served. Ask once for each request."""
        now = self._clock()
        if now >= self._measure_at:
            self._measure_at = float("inf")
            loop.call_soon(self._turn_begins, loop)
        if not self.shedding:
            return True
        self._offered += 1
        if self._turn < SHORT_TURN_SECONDS or now - self._measured > STALE_SECONDS:
            return True
        self._refused += 1
        return False

    def _turn_begins(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = self._clock()
        # What is scheduled from a callback runs in the next turn, after the sockets were read.
        loop.call_soon(self._turn_ended, loop)

    def _turn_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        self._measured = now = self._clock()
        self._turn = now - self._begun
        self._measure_at = now if self.shedding else now + PAUSE_SECONDS
        self._long_turns = self._long_turns + 1 if self._turn >= LONG_TURN_SECONDS else 0
        if self._long_turns >= LONG_TURNS and not self.shedding:
            self._begin(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self.shedding, self._shedding_since = True, self._measured
        self._offered = self._refused = self._refused_before = 0
        log.warning("overload_began", turn_ms=round(self._turn * 1000, 1))
        loop.call_later(REVIEW_SECONDS, self._review, loop)

    def _review(self, loop: asyncio.AbstractEventLoop) -> None:
        self._refused_before += self._refused
        if self._refused > self._offered * LITTLE:
            self._offered = self._refused = 0
            loop.call_later(REVIEW_SECONDS, self._review, loop)
            return
        self.shedding, self._long_turns = False, 0
        seconds = round(self._clock() - self._shedding_since, 1)
        log.warning("overload_ended", seconds=seconds, refused=self._refused_before)
