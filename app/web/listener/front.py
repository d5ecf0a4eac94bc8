"""The front of a port: what its connections share, and how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from app.web.appkeys import Lifecycle
from app.web.listener.admission import Admission
from app.web.listener.refusal import Refusal


class Served(Protocol):
    """What a connection needs of the protocol that serves its requests."""

    asked: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Front:
    """What the connections of one port share.

    Args:
        serve: makes what serves a connection's requests, and calls its argument after each answer.
        most: connections; for one more, the one that has been idle longest is closed.
    """

    def __init__(
        self,
        admission: Admission,
        refusal: Refusal,
        lifecycle: Lifecycle,
        serve: Callable[[Callable[[], None]], Served],
        *,
        most: int,
    ) -> None:
        self.admission = admission
        self.refusal = refusal
        self.lifecycle = lifecycle
        self.serve = serve
        self.loop = asyncio.get_running_loop()
        self._most = most
        self._connections = 0
        # Those on which no request is in progress, the longest idle one first.
        self.idle: dict[asyncio.BaseTransport, None] = {}

    def made(self, connection: asyncio.BaseTransport) -> None:
        """One more connection."""
        self._connections += 1
        if self._connections > self._most and self.idle:
            longest = next(iter(self.idle))
            del self.idle[longest]
            longest.close()
        self.idle[connection] = None

    def lost(self, connection: asyncio.BaseTransport) -> None:
        """One connection less."""
        self._connections -= 1
        self.idle.pop(connection, None)

    def close(self) -> None:
        """Close the connections that aiohttp does not know, and any other idle one."""
        for connection in list(self.idle):
            connection.close()
