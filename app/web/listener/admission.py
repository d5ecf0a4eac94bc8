"""Admission control: whether the process has the time for one more request.

One event loop serves everything, so what queues is work for the loop. The wait shows in the loop's turns: in
one turn the loop reads every socket that has something and runs every callback that is ready, and a request
needs several turns. Turns with much work mean that requests wait for the processor. A slow provider or store
adds no work, however many requests wait for it, and so it sheds nothing.

A burst makes a few long turns and is served. When turns stay long, more work comes in than the loop can do.
Then ``Admission`` sheds: it admits a request only while turns are short, which keeps the queue short at any
load. It stops when it had to refuse little for half a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("cloakroom.admission")

# Requests that came together go through the turns together, so that one turn does much and the next one
# little. So many turns are measured in a row, about half of what a request needs.
TURNS: Final = 4
# CPU seconds of such a row that are many, and of such rows one after the other that are overload. 256 callers
# that all want the processor make rows of 45 to 65 ms, by how fast it is: late, but no overload.
LONG_SECONDS: Final = 0.1
OVERLOAD_SECONDS: Final = 0.15
# While shedding: requests are admitted after a single turn that was shorter than this, and so many in a turn.
# What came together is read in one turn; without the second limit all of it would be admitted, or nothing.
SHORT_TURN_SECONDS: Final = 0.0005
ADMITTED_A_TURN: Final = 6
# Between two measurements while all is well: then they cost next to nothing.
PAUSE_SECONDS: Final = 0.01
# Shedding goes on at least so long, and ends when it refused less than this part of what came since: after a
# burst, arrivals at random still make turns that are not short.
REVIEW_SECONDS: Final = 0.5
LITTLE: Final = 0.25


class Admission:
    """Measures the loop's turns, and says of each request whether it is admitted.

    A turn is measured by the CPU time that it took: that is the work which waits for the loop. A process that
    takes the CPU away adds none.

    Args:
        sheds: False admits everything, and measures nothing.
        clock: returns seconds.
        cpu: returns the CPU time of this thread in seconds.
    """

    def __init__(
        self,
        *,
        sheds: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._sheds = sheds
        self._clock = clock
        self._cpu = cpu
        self.shedding = False
        # The last turn, and the last row of them, in seconds.
        self._turn = self._row = 0.0
        self._row_began = 0.0
        self._turn_ended_at = float("-inf")
        self._turns = self._admitted = self._offered_before = 0
        self._measure_at = float("-inf")
        self._long = 0.0
        # Of this second of shedding, and all that this time of shedding refused since it began.
        self._offered = self._refused = 0
        self._refused_before = 0
        self._shedding_since = 0.0

    @property
    def turn(self) -> float:
        """Mean CPU seconds of the loop's last turns; 0 when no request came lately."""
        return self._row / TURNS if self._clock() - self._turn_ended_at < REVIEW_SECONDS else 0.0

    def admits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a request that just arrived may be served. Ask once for each request."""
        if not self._sheds:
            return True
        now = self._clock()
        if now >= self._measure_at:
            # Nothing came for a while, so nothing waits.
            self._turn, self._admitted = 0.0, 0
            self._begin_row(loop, self._cpu())
        if not self.shedding:
            return True
        self._offered += 1
        if self._turn < SHORT_TURN_SECONDS and self._admitted < ADMITTED_A_TURN:
            self._admitted += 1
            return True
        self._refused += 1
        return False

    def _begin_row(self, loop: asyncio.AbstractEventLoop, used: float) -> None:
        self._measure_at = float("inf")
        self._row_began = used
        self._turns = 0
        self._offered_before = self._offered
        loop.call_soon(self._turn_ends, loop, used)

    def _turn_ends(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        self._turn_ended_at = now = self._clock()
        used = self._cpu()
        self._turn, self._admitted = used - began, 0
        self._turns += 1
        if self._turns < TURNS:
            # What is scheduled from a callback runs in the next turn, after the sockets were read.
            loop.call_soon(self._turn_ends, loop, used)
            return
        self._row = used - self._row_began
        self._long = self._long + self._row if self._row >= LONG_SECONDS else 0.0
        if self._long >= OVERLOAD_SECONDS and not self.shedding:
            self._begin(loop)
        if self.shedding and self._offered != self._offered_before:
            self._begin_row(loop, used)
        else:
            self._measure_at = now if self.shedding else now + PAUSE_SECONDS

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self.shedding, self._shedding_since = True, self._turn_ended_at
        self._offered = self._refused = self._refused_before = 0
        # Go on to measure.
        self._offered_before = -1
        log.warning("overload_began", turn_ms=round(self._row / TURNS * 1000, 1))
        loop.call_later(REVIEW_SECONDS, self._review, loop)

    def _review(self, loop: asyncio.AbstractEventLoop) -> None:
        self._refused_before += self._refused
        if self._refused > self._offered * LITTLE:
            self._offered = self._refused = 0
            loop.call_later(REVIEW_SECONDS, self._review, loop)
            return
        self.shedding, self._long = False, 0.0
        seconds = round(self._clock() - self._shedding_since, 1)
        log.warning("overload_ended", seconds=seconds, refused=self._refused_before)
