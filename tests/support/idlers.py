"""Callers that cost a server a connection and nothing else: silent ones, slow heads, slow bodies."""

from __future__ import annotations

import resource
import select
import socket
import threading
from typing import Final, Self
from urllib.parse import urlsplit

from tests.support.clocks import PATIENCE

_BYTE_EVERY_SECONDS: Final = 0.5
_HEAD: Final = b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: slow.test\r\nX-Slow: "
_BODY_HEAD: Final = (
    "POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: slow.test\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)


class Idlers:
    """Opens them all, and goes on sending a byte now and then where one sends slowly; closes them at the end.

    Args:
        client_key: of the slow bodies, which get past authentication.
    """

    def __init__(self, url: str, client_key: str, *, idle: int, heads: int, bodies: int) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 80)
        self._key = client_key
        self._numbers = idle, heads, bodies
        self._all: list[socket.socket] = []
        self._slow: list[socket.socket] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._trickle, daemon=True)

    def open(self) -> int:
        """How many the server has not closed or answered."""
        waiting = select.poll()
        for one in self._all:
            waiting.register(one.fileno(), select.POLLIN)
        return len(self._all) - len(waiting.poll(0))

    def __enter__(self) -> Self:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        idle, heads, bodies = self._numbers
        for number in range(idle + heads + bodies):
            one = socket.create_connection(self._address, timeout=PATIENCE)
            self._all.append(one)
            if number >= idle:
                slow_body = number >= idle + heads
                one.sendall(_BODY_HEAD.format(key=self._key).encode() if slow_body else _HEAD)
                one.setblocking(False)
                self._slow.append(one)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)
        for one in self._all:
            one.close()

    def _trickle(self) -> None:
        while not self._ended.wait(_BYTE_EVERY_SECONDS):
            going = []
            for one in self._slow:
                try:
                    one.send(b" ")
                except OSError:
                    continue
                going.append(one)
            self._slow = going
