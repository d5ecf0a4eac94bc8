"""The front of a port: what its connections share, and how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from app.web.appkeys import Lifecycle
from app.web.listener.early import EarlyRefusals

log = structlog.get_logger("cloakroom.front")

_LOG_SECONDS: Final = 10.0


class Served(Protocol):
    """What a connection needs of the protocol that serves its requests."""

    asked: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a port may have, and how long they may take.

    ``most`` in all: for one more, the one that has been idle longest is closed. ``per_address``: one more of
    the same peer is closed; 0 for no limit. Times in seconds: ``head`` from a request's first byte to the end
    of its head; ``idle`` without a request; ``unread`` while the caller reads nothing of an answer.
    """

    most: int
    per_address: int = 0
    head: float = 10.0
    idle: float = 75.0
    unread: float = 30.0


class Front:
    """What the connections of one port share.

    Args:
        serve: makes what serves a connection's requests, and calls its argument after each answer.
        cut: is told why a connection is ended by us.
    """

    def __init__(
        self,
        early: EarlyRefusals,
        lifecycle: Lifecycle,
        serve: Callable[[Callable[[], None]], Served],
        limits: ConnectionLimits,
        cut: Callable[[str], None],
    ) -> None:
        self.early = early
        self.lifecycle = lifecycle
        self.serve = serve
        self.limits = limits
        self.cut = cut
        self.loop = asyncio.get_running_loop()
        self._connections = 0
        # By peer.
        self._of: dict[str, int] = {}
        self._tell_at = 0.0
        # Those on which no request is in progress, the longest idle one first.
        self.idle: dict[asyncio.BaseTransport, None] = {}

    def made(self, connection: asyncio.BaseTransport, peer: str) -> bool:
        """One more connection; False where there are too many, and it must be closed.

        ``peer`` is what the address of its other end is counted under.
        """
        self._connections += 1
        limits = self.limits
        if limits.per_address:
            self._of[peer] = number = self._of.get(peer, 0) + 1
            if number > limits.per_address:
                self._too_many(peer)
                return False
        if self._connections > limits.most:
            self.cut("room")
            if not self.idle:
                return False
            longest = next(iter(self.idle))
            del self.idle[longest]
            longest.close()
        self.idle[connection] = None
        return True

    def lost(self, connection: asyncio.BaseTransport, peer: str) -> None:
        """One connection less."""
        self._connections -= 1
        self.idle.pop(connection, None)
        if self.limits.per_address:
            left = self._of[peer] - 1
            if left:
                self._of[peer] = left
            else:
                del self._of[peer]

    def close(self) -> None:
        """Close the connections that aiohttp does not know, and any other idle one."""
        for connection in list(self.idle):
            connection.close()

    def _too_many(self, peer: str) -> None:
        self.cut("address")
        now = self.loop.time()
        if now >= self._tell_at:
            self._tell_at = now + _LOG_SECONDS
            log.warning(
                "connections_limited",
                address=peer,
                limit=self.limits.per_address,
                advice="set CLOAKROOM_TRUSTED_PROXIES if it is a proxy, or CLOAKROOM_CONNECTIONS_PER_ADDRESS",
            )
