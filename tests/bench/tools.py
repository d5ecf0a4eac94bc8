"""What every benchmark stands on: its folders, the programs it needs, its progress, and an orderly end."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# LiteLLM, py-spy and matplotlib live apart: they would pull a hundred packages into .venv.
BENCH_VENV: Final = ROOT / ".bench-venv"
# Debian keeps nginx where a user's PATH does not look.
SYSTEM_PLACES: Final = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
RESULTS: Final = Path(__file__).with_name("results")

_HOW: Final = {
    "wrk": "sudo apt-get install wrk (or: sh tests/bench/system_packages.sh)",
    "nginx": "sudo apt-get install nginx-light (or: sh tests/bench/system_packages.sh)",
    "valgrind": "sudo apt-get install valgrind (or: sh tests/bench/system_packages.sh)",
    "py-spy": "make .bench-venv/.installed, or pip install py-spy",
    "litellm": "make .bench-venv/.installed",
}


class BenchError(Exception):
    """A benchmark cannot go on; the message says what to do about it."""


def find(name: str) -> Path:
    """The path of a program, from the benchmark's own environment or from the system.

    Raises:
        BenchError: it is not there.
    """
    own = BENCH_VENV / "bin" / name
    if own.exists():
        return own
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_PLACES)
    if found is None:
        raise BenchError(f"'{name}' is not installed: {_HOW.get(name, f'install {name}')}")
    return Path(found)


def version_of(name: str, *arguments: str) -> str:
    """The first line that has a digit of what the program says about its version."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [find(name), *arguments], check=False, capture_output=True, text=True, timeout=20
        )
        for line in f"{said.stdout}\n{said.stderr}".splitlines():
            if any(character.isdigit() for character in line):
                return line.strip()
    return f"{name} (version unknown)"


def read(name: str) -> dict[str, Any]:
    """The recorded figures of one run: ``before``, or those of ``make bench`` and ``bench-...``.

    Raises:
        BenchError: there are none yet.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise BenchError(
            f"{path} is not there: run 'make bench', bench-growth, bench-workers, bench-pool and "
            "bench-profile first"
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


class Progress:
    """Counts steps; on a terminal on one line, elsewhere one line for each tenth."""

    def __init__(self, steps: int) -> None:
        self._steps = max(1, steps)
        self._done = 0
        self._started = time.monotonic()

    def step(self, what: str) -> None:
        """One more step begins."""
        self._done += 1
        elapsed, every = time.monotonic() - self._started, max(1, self._steps // 10)
        text = f"[{elapsed:4.0f} s] {self._done:3d}/{self._steps} {what}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
        elif self._done % every == 1 % every or self._done == self._steps:
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
