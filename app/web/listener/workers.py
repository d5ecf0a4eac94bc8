"""The worker processes of a replica that has several: as a view sees them, and as each of them is run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from app.telemetry.workers.merged import Merged

# Returns, as JSON, what a worker says of itself.
Tell = Callable[[], Awaitable[bytes]]
# Accepts from the sockets of each port, and returns what can be closed.
Accept = Callable[[list[list[socket.socket]]], Awaitable[list[asyncio.Server]]]


class Workers(Protocol):
    """All workers of this replica. ``app.supervisor`` makes it."""

    @property
    def missing(self) -> int:
        """How many do not serve just now."""
        ...

    async def metrics(self) -> Merged:
        """The metrics of all workers.

        Raises:
            Draining: the supervisor does not answer.
        """
        ...

    async def states(self) -> list[dict[str, Any]]:
        """Each worker's number, process, restarts, and what it has to do.

        Raises:
            Draining: the supervisor does not answer.
        """
        ...


class Worker(Workers, Protocol):
    """One of several processes that serve together. ``app.supervisor`` makes it."""

    @property
    def number(self) -> int:
        """From 0."""
        ...

    @property
    def ending(self) -> asyncio.Event:
        """Set when it shall end."""
        ...

    @property
    def orphaned(self) -> bool:
        """Whether it shall end because its supervisor is gone."""
        ...

    async def join(self, *, metrics: Tell, state: Tell) -> None:
        """Begin to listen to the supervisor, and to tell it of this worker."""

    async def listen(self, accept: Accept) -> None:
        """Accept connections, and tell the supervisor so."""

    def close(self) -> None:
        """Accept no more."""

    async def leave(self) -> None:
        """Stop listening to it."""


# A replica that is one process does not have it.
WORKERS: Final[web.AppKey[Workers]] = web.AppKey("workers", Workers)
