"""Ports for the replicas: the wanted ones, or the next that are free."""

from __future__ import annotations

import errno
import socket
from typing import Final

from app.cli.failure import CliFailure

_ATTEMPTS: Final = 100
_LAST_PORT: Final = 65_535
_NOT_OURS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def choose_ports(host: str, first: int, count: int) -> list[int]:
    """Return ``count`` free ports in rising order, beginning at ``first``.

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
    """The address under which a browser on this machine reaches a server that listens on ``host``."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def base_url(host: str, port: int) -> str:
    """``http://host:port`` with IPv6 in brackets."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _is_free(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise CliFailure(f"--host {host} cannot be resolved") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As aiohttp binds: a connection of a run that just ended does not hold the port.
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
