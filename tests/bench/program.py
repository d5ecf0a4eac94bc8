"""A server under test or beside it: a child that logs to a file, is pinned, and ends by its id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from app.store.embedded import lifeline
from tests.bench import procfs
from tests.bench.tools import ROOT, BenchError

_STOP_SECONDS: Final = 15.0
_TAIL_LINES: Final = 15


class Program:
    """Starts a program; its output goes to a file of its own, as a container's goes to its log.

    Args:
        name: what it is called in messages.
        argv: the program by its path, and its arguments.
        environment: its variables, besides the few that every program needs.
        cpus: where it may run.
        directory: its working directory.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        cpus: set[int],
        directory: Path = ROOT,
    ) -> None:
        self.name = name
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        # Appending, so that emptying the file between two rounds leaves no hole in it.
        self._log = tempfile.NamedTemporaryFile(mode="ab", prefix=f"bench-{name}-", suffix=".log")  # noqa: SIM115 - closed by stop
        self._process = lifeline.popen(
            list(argv),
            cwd=directory,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the terminal's whole group; the benchmark ends its children in its own order.
            start_new_session=True,
        )
        # Threads and children that come later inherit it.
        os.sched_setaffinity(self.pid, cpus)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> Path:
        """The file that it writes to."""
        return Path(self._log.name)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def forget_output(self) -> None:
        """Empty the log file: half a million lines of it would fill a small disk."""
        os.truncate(self._log.name, 0)

    def wait_for_event(self, event: str, *, seconds: float = 60) -> dict[str, Any]:
        """The first JSON line of this event on its output.

        Raises:
            BenchError: the program ended, or said nothing in time; with its last lines.
        """
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            for line in self.output().splitlines():
                if line.startswith("{") and event in line:
                    with contextlib.suppress(json.JSONDecodeError):
                        found: dict[str, Any] = json.loads(line)
                        if found.get("event") == event:
                            return found
            time.sleep(0.05)
        raise self.failed("is not ready")

    def wait_for_port(self, port: int, *, seconds: float = 60) -> None:
        """Return once something accepts connections on this loopback port.

        Raises:
            BenchError: the program ended, or nothing listens in time.
        """
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.1)
        raise self.failed(f"does not listen on port {port}")

    def failed(self, what: str) -> BenchError:
        """An error with the last lines of the program's output."""
        tail = "\n".join(self.output().splitlines()[-_TAIL_LINES:])
        return BenchError(f"{self.name} {what}; it said:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; to every process of the tree, since children may outlive their parent."""
        family = procfs.tree(self.pid)
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in family[1:]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A loopback port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
