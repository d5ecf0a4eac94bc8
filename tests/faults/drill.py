"""A drill: one promise of docs/reliability.md, put to the test for minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

# What a drill found, in the order in which it is printed: "lost handles": 0, "longest outage": "1.3 s".
Figures = dict[str, int | float | str]
_SECONDS_BETWEEN_LINES: Final = 5.0


class Progress:
    """Tells how far a drill is, on standard error: at once, then every five seconds at most."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told = float("-inf")
        self.begun = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line at once."""
        self._told = time.monotonic()
        sys.stderr.write(f"    {self._name}: {self._told - self.begun:4.0f} s  {text}\n")
        sys.stderr.flush()

    def at(self, done: int, of: int, text: str = "") -> None:
        """``done`` of ``of`` rounds are over; prints a line unless one was printed just now."""
        if done >= of or time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self.say(f"{done:,} of {of:,} {text}".rstrip())


@dataclass(frozen=True, slots=True)
class Drill:
    """One long run.

    Attributes:
        name: as on the command line.
        promise: the row of docs/reliability.md, as "1".
        minutes: about, on two cores.
        rounds: what ``run`` is given; the short form in ``make test`` gives it fewer.
        run: breaks things ``rounds`` times and returns what it counted. It raises AssertionError where the
            promise is broken, with the figures in the message.
    """

    name: str
    promise: str
    minutes: float
    rounds: int
    run: Callable[[Progress, int], Coroutine[Any, Any, Figures]]


def many_at_once() -> aiohttp.ClientSession:
    """A client that sends as many requests at once as an outage gathers."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0)
    )
