"""One supervised child process: where its lines go, when it is ready, and its last lines when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from app.cli.failure import CliFailure
from app.store.embedded import lifeline

T = TypeVar("T")
Sink = Callable[[str, list[str]], Awaitable[None]]

TAIL_LINES: Final = 20
_CHUNK: Final = 65_536  # bytes; also the longest line that is kept whole
_DRAIN_SECONDS: Final = 2.0  # for the last lines of a child that has ended


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``python -m module`` with this Python.

    -P keeps the working directory off the path, where the user may have another ``app`` package.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def with_our_package(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` such that a child started by ``module_command`` finds this package.

    A source tree is found only through PYTHONPATH; an installed package needs nothing.
    """
    root = str(Path(__file__).parents[3])
    found = {**environ, "PYTHONUNBUFFERED": "1"}
    if root not in sys.path[1:]:
        found["PYTHONPATH"] = ":".join(filter(None, (root, environ.get("PYTHONPATH"))))
    return found


class Child:
    """A process started by ``start``; ``sink(name, lines)`` receives its output as it comes."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, sink: Sink) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process = process
        self._sink = sink
        self._pump = asyncio.create_task(self._pump_lines())

    @classmethod
    async def start(cls, name: str, argv: Sequence[str], environ: Mapping[str, str], sink: Sink) -> Child:
        """Start ``argv`` so that it ends when we end. Raises OSError when it cannot be started."""
        process = await asyncio.create_subprocess_exec(
            *lifeline.bound_to_parent(argv),
            env=with_our_package(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # The terminal's Ctrl-C is for the supervisor, which ends its children in order.
            start_new_session=True,
        )
        return cls(name, process, sink)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Return the exit status once the process has ended and its last lines are through."""
        status = await self._process.wait()
        await asyncio.wait([self._pump], timeout=_DRAIN_SECONDS)
        return status

    async def stop(self, grace: float, kill: asyncio.Event) -> bool:
        """SIGTERM, then SIGKILL after ``grace`` seconds or as soon as ``kill`` is set.

        Returns whether the process ended by itself.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        ended = asyncio.ensure_future(self._process.wait())
        impatient = asyncio.ensure_future(kill.wait())
        await asyncio.wait([ended, impatient], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        gracefully = ended.done()
        if not gracefully:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await ended
        await asyncio.wait([self._pump], timeout=0 if kill.is_set() else _DRAIN_SECONDS)
        self._pump.cancel()
        return gracefully

    async def _pump_lines(self) -> None:
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("a child was started without a pipe for its output")
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= _CHUNK:  # a line without an end must not grow without an end
                lines, rest = [*lines, rest], b""
            await self._deliver(lines)
        if rest:
            await self._deliver([rest])

    async def _deliver(self, lines: list[bytes]) -> None:
        if lines:
            texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
            self.tail.extend(texts)
            await self._sink(self.name, texts)


async def first_sign(child: Child, ready: asyncio.Future[T], seconds: float) -> T:
    """Return the result of ``ready``.

    Raises:
        CliFailure: the child ended first, or ``seconds`` went by; with its last lines.
    """
    ended = asyncio.ensure_future(child.wait())
    signs: set[asyncio.Future[Any]] = {ready, ended}
    try:
        await asyncio.wait(signs, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        # First whether it ended: on a port that it could not take, another server may answer.
        if ended.done():
            raise CliFailure(last_words(child, ended.result()))
        if ready.done():
            return ready.result()
        tail = _indented(child)
        raise CliFailure(f"{child.name} is not ready after {seconds:g} s; its last lines:\n{tail}")
    finally:
        ended.cancel()
        ready.cancel()


def last_words(child: Child, status: int) -> str:
    """How the child ended, with its last lines."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{child.name} {how}; its last lines:\n{_indented(child)}"


def _indented(child: Child) -> str:
    return "\n".join(f"  {line}" for line in child.tail) or "  (none)"
