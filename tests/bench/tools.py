"""The programs that a benchmark needs, and the plain message when one is missing."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# LiteLLM and py-spy live apart: they would pull a hundred packages into the service's environment.
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
