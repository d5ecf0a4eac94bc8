"""The listening sockets of a replica's workers: all at one port, one for each worker.

With SO_REUSEPORT the kernel deals out new connections evenly. Accepting from one socket together would be
simpler, but one worker may get most of the connections that callers keep. The supervisor and every worker
hold all of the sockets. So none is closed with connections in it, and others can accept from the socket of a
worker that is away.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final

from app.server import BACKLOG
from app.settings import Settings

# The sockets of one worker: for each port one at each address; the port of the service comes first.
Ports = list[list[socket.socket]]
# Elsewhere the option exists, and one of the sockets gets everything.
_DEALS_OUT: Final = sys.platform == "linux"


def open_ports(settings: Settings, workers: int) -> list[Ports]:
    """Open the sockets of each worker; where the system does not deal out, there is one set for all of them.

    Raises:
        OSError: an address is taken or not ours; nothing is left open.
    """
    places = [(settings.host, settings.port)]
    if settings.ops_port is not None:
        places.append((settings.ops_host or settings.host, settings.ops_port))
    with contextlib.ExitStack() as opened:
        sets = workers if _DEALS_OUT else 1
        by_port = [_open(opened, host, port, sets) for host, port in places]
        opened.pop_all()
    return [list(of_one) for of_one in zip(*by_port, strict=True)]


def _open(opened: contextlib.ExitStack, host: str, port: int, sets: int) -> list[list[socket.socket]]:
    """So many sets of sockets: one for each address of the host, as with asyncio, all at the same port."""
    found: list[list[socket.socket]] = [[] for _ in range(sets)]
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in dict.fromkeys(infos):
        # With SO_REUSEPORT a second service would take a part of the first one's callers, without an error.
        with _bound(family, address, port, shared=False) as probe:
            port = probe.getsockname()[1]
        for of_one in found:
            listener = opened.enter_context(_bound(family, address, port, shared=sets > 1))
            listener.listen(BACKLOG)
            of_one.append(listener)
    return found


def _bound(family: int, address: tuple[Any, ...], port: int, *, shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket for itself.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address[0], port, *address[2:]))
    except OSError:
        listener.close()
        raise
    return listener


def addresses(ports: Ports) -> list[str]:
    """``host:port`` of each socket."""
    return [":".join(map(str, one.getsockname()[:2])) for listeners in ports for one in listeners]


def close_ports(sets: Iterable[Ports]) -> None:
    """Close this process's side of all of them."""
    for ports in sets:
        for listeners in ports:
            for listener in listeners:
                listener.close()
