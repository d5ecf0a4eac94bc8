"""When a child is ready, and what to say when it ends instead."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, TypeVar

from app.cli.dev.child import Child
from app.cli.failure import CliFailure

T = TypeVar("T")

_ASK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05


async def is_ready(host: str, port: int) -> bool:
    """Whether ``GET /readyz`` answers 200 within two seconds; a port without a listener is not ready."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_ASK_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                # The host by name: a service that checks it would refuse a bare address of its own.
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                status_line = await reader.readline()
                return status_line.split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    return False


async def until_ready(host: str, port: int) -> None:
    """Return once the replica on this port is ready."""
    while True:
        if await is_ready(host, port):
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def first_sign(child: Child, ready: asyncio.Future[T], seconds: float) -> T:
    """Return the result of ``ready``.

    Raises:
        CliFailure: the child ended first, or ``seconds`` went by; with its last lines.
    """
    ended = asyncio.ensure_future(child.wait())
    signs: set[asyncio.Future[Any]] = {ready, ended}
    try:
        await asyncio.wait(signs, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        # In this order: a foreign server on the port may answer for a child that could not take it.
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
    """Say how the child ended, with its last lines."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{child.name} {how}; its last lines:\n{_indented(child)}"


def _indented(child: Child) -> str:
    return "\n".join(f"  {line}" for line in child.tail) or "  (none)"
