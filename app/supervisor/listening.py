"""The listening sockets that all workers of a replica accept from."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from app.server import BACKLOG
from app.settings import Settings

Ports = list[list[socket.socket]]


def open_ports(settings: Settings) -> Ports:
    """The sockets of each port, listening; the port of the service comes first.

    Raises:
        OSError: an address is taken or not ours; nothing is left open.
    """
    with contextlib.ExitStack() as opened:
        ports = [_open(opened, settings.host, settings.port)]
        if settings.ops_port is not None:
            ops_host = settings.host if settings.ops_host is None else settings.ops_host
            ports.append(_open(opened, ops_host, settings.ops_port))
        opened.pop_all()
    return ports


def _open(opened: contextlib.ExitStack, host: str, port: int) -> list[socket.socket]:
    """One socket for each address of the host, as asyncio makes them, all at the same port."""
    listeners: list[socket.socket] = []
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = opened.enter_context(socket.socket(family, kind, protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket for itself.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        # Where any port will do, the first socket chooses for all.
        chosen = listeners[0].getsockname()[1] if listeners and port == 0 else port
        listener.bind((address[0], chosen, *address[2:]))
        listener.listen(BACKLOG)
        listeners.append(listener)
    return listeners


def addresses(listeners: Iterable[socket.socket]) -> list[str]:
    """``host:port`` of each socket."""
    return [":".join(map(str, one.getsockname()[:2])) for one in listeners]


def close_ports(ports: Ports) -> None:
    """Close this process's side of them. Those who wait to be accepted are lost only with the last side."""
    for listeners in ports:
        for listener in listeners:
            listener.close()
