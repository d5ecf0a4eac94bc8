"""Tells on standard error how far a long run has got, and ends it properly, whatever ends it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from tests.bench.tools import BenchError


class Progress:
    """Counts steps; on a terminal on one line, elsewhere one line for each tenth."""

    def __init__(self, steps: int) -> None:
        self._steps = max(1, steps)
        self._done = 0
        self._started = time.monotonic()

    def step(self, what: str) -> None:
        """One more step begins."""
        self._done += 1
        elapsed = time.monotonic() - self._started
        text = f"[{elapsed:4.0f} s] {self._done:3d}/{self._steps} {what}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
        elif self._done % max(1, self._steps // 10) == 1 or self._done == self._steps:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def say(self, what: str) -> None:
        """A line of its own."""
        prefix = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{prefix}[{time.monotonic() - self._started:4.0f} s] {what}\n")
        sys.stderr.flush()


def run_to_end(program: Callable[[], None]) -> int:
    """Run a program of the benchmarks; returns its exit status.

    0 when it is done, 1 with the reason on standard error, 130 after Ctrl-C.
    """
    _unwind_on_signals()
    try:
        program()
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    return 0


def _unwind_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C does, so that whatever was started is stopped."""

    def stop(number: int, frame: object) -> None:
        del frame
        sys.exit(128 + number)

    # A shell that starts us in the background lets SIGINT be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
