"""How far a URL's host can be reached: name, TCP, TLS, each timed, each with its own reason for failing.

For ``cloakroom doctor``. Nothing of HTTP is sent, so it does nothing at the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Stage = Literal["name", "connect", "tls"]

# As many addresses of one name are tried at once; a host with more is balanced by its name anyway.
_MOST_ADDRESSES: Final = 6
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Reached:
    """The address that answered, and what each stage took, in seconds; ``tls`` is None for http."""

    address: str
    name: float
    connect: float
    tls: float | None


class Unreachable(Exception):
    """``stage`` is the first that failed. The message is one clause and holds no address."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Final = stage


async def reach(url: str, *, seconds: float, now: Callable[[], float] = time.perf_counter) -> Reached:
    """Connect as the service would, and hang up.

    Args:
        url: http or https.
        seconds: deadline of each stage.
        now: returns seconds.

    Raises:
        Unreachable: says at which stage.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    started = now()
    addresses = await _stage("name", seconds, _addresses(host, port))
    named = now()
    address, writer = await _stage("connect", seconds, _first_to_answer(addresses, port))
    connected = now()
    try:
        if parts.scheme == "http":
            return Reached(address, named - started, connected - named, None)
        await _stage("tls", seconds, writer.start_tls(ssl.create_default_context(), server_hostname=host))
        return Reached(address, named - started, connected - named, now() - connected)
    finally:
        writer.transport.abort()


async def _stage(stage: Stage, seconds: float, step: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError:
        raise Unreachable(stage, f"no answer within {seconds:.1f} s") from None
    except (OSError, EOFError, UnicodeError) as error:
        raise Unreachable(stage, _reason(stage, error)) from None


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))[:_MOST_ADDRESSES]


async def _first_to_answer(addresses: list[str], port: int) -> tuple[str, asyncio.StreamWriter]:
    """All at once, so that one address whose packets are dropped does not hide another that works."""
    tries = {asyncio.create_task(asyncio.open_connection(address, port)): address for address in addresses}
    waiting = set(tries)
    failure: OSError | None = None
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    _, writer = task.result()
                    return tries.pop(task), writer
                failure = error if isinstance(error, OSError) else failure
        raise failure or OSError("no address")
    finally:
        for task in tries:
            task.cancel()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                (await task)[1].transport.abort()


def _reason(stage: Stage, error: Exception) -> str:
    if stage == "name":
        return "the name is not known here"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message or 'unknown reason'}"
    if stage == "tls":
        return "what listens there does not speak TLS"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens on that port"
    return f"no route, or a firewall says no ({type(error).__name__})"
