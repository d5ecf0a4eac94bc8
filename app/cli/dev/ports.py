"""Ports for the replicas: choose free ones, and ask whether a replica there is ready."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import Final

from app.cli.failure import CliFailure

_ATTEMPTS: Final = 100
_LAST_PORT: Final = 65_535
_ASK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05
_NOT_OURS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def choose_ports(host: str, first: int, count: int) -> list[int]:
    """Return ``count`` free ports in rising order, from ``first`` on.

    Raises:
        CliFailure: there are not enough, or ``host`` is no address of this machine.
    """
    ports: list[int] = []
    for port in range(first, min(first + _ATTEMPTS, _LAST_PORT) + 1):
        if len(ports) == count:
            break
        if _is_free(host, port):
            ports.append(port)
    if len(ports) < count:
        raise CliFailure(f"no {count} free ports from {first} on at {host}; choose others with --port")
    return ports


def reachable(host: str) -> str:
    """The address at which a browser on this machine reaches a server that listens on ``host``."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def base_url(host: str, port: int) -> str:
    """``http://host:port`` with IPv6 in brackets."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


async def is_ready(host: str, port: int) -> bool:
    """Whether ``GET /readyz`` answers 200 within two seconds; a port without a listener is not ready."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_ASK_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                # By name: a service that checks the host would refuse a bare address.
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


def _is_free(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise CliFailure(f"--host {host} cannot be resolved") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As aiohttp binds, so that a connection of the last run does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            raise CliFailure(f"port {port} needs more rights; choose one from 1024 on with --port") from None
        except OSError as error:
            if error.errno in _NOT_OURS:
                raise CliFailure(f"--host {host} is no address of this machine") from None
            return False
    return True
