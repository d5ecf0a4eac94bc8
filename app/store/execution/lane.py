"""A connection that is made when it is wanted, and made anew when it was lost."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from app.store.execution.wire import Wire


class Source(Protocol):
    """Where the driver's connections come from; its own pool is one."""

    async def get_connection(self) -> Any:
        """A connection of the driver's, connected and signed on."""

    async def release(self, connection: Any) -> None:
        """Take back a connection that has ended."""


class Lane:
    """One connection of a source, for as many commands as come."""

    def __init__(self, source: Source) -> None:
        # None before the first connection; it may have been closed since.
        self.wire: Wire | None = None
        self._source = source
        self._connection: Any = None
        self._connecting = asyncio.Lock()

    async def connect(self, deadline: float) -> Wire:
        """The connection that stands, or a new one.

        Raises:
            TimeoutError: there is none by the deadline (the loop's clock, in seconds).
            RedisError, OSError: none can be made.
        """
        async with asyncio.timeout_at(deadline), self._connecting:
            if self.wire is not None and not self.wire.closed:
                return self.wire  # somebody else's doing, while we waited
            await self.close()
            self._connection = await self._source.get_connection()
            self.wire = Wire(self._connection)
            return self.wire

    async def close(self) -> None:
        """End the connection; the next ``connect`` makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self.wire is not None:
                self.wire.close()
            # What is left is the driver's book-keeping; there is nobody to say goodbye to.
            await connection.disconnect(nowait=True)
            await self._source.release(connection)
