"""Keeps connections between requests, and makes new ones up to a number."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from app.outbound.connection import Connection, Deadlines
from app.outbound.dialer import Dialer
from app.outbound.http1 import Origin

# Shorter than the idle timeout of the usual front ends (60 s and more), so that the provider seldom closes a
# connection that we are about to use.
KEEPALIVE_SECONDS: Final = 20.0
CONNECTIONS: Final = 1024


class Pool:
    """Keeps idle connections. The one used last is taken first, so that superfluous ones grow old and end.

    Make it inside the running loop.

    Args:
        limit: connections at a time, including those being made.
        keepalive: seconds for which an idle connection is kept.
    """

    def __init__(
        self, dialer: Dialer, *, limit: int = CONNECTIONS, keepalive: float = KEEPALIVE_SECONDS
    ) -> None:
        self._dialer = dialer
        self._deadlines = Deadlines()
        self._limit = limit
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        # For each origin, the one that became idle first stands first.
        self._idle: dict[Origin, list[Connection]] = {}
        self._dialling = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()
        self._emptied = asyncio.Event()

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that is still open, if there is one."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest = self._loop.time() - self._keepalive
        while idle:
            connection = idle.pop()
            # A process that was suspended finds old connections before it has swept them.
            if connection.usable and connection.idle_since >= oldest:
                return connection
            self._end(connection)
        return None

    async def open(self, origin: Origin) -> Connection:
        """A new connection, or one that became idle while the caller waited for its turn.

        Raises:
            OSError: none can be made, or the pool is closed.
        """
        first = True
        while not self._closing.is_set() and len(self._open) + self._dialling >= self._limit:
            if (connection := self.take(origin)) is not None:
                return connection
            if not self._end_an_idle_one():
                await self._turn(first=first)
                first = False
        if self._closing.is_set():
            raise OSError("the client is closed")
        self._dialling += 1
        try:
            connection = await self._dialer.dial(origin, lambda: self._new(origin))
        except BaseException:
            self._dialling -= 1
            self._wake()
            raise
        self._dialling -= 1
        if self._closing.is_set() or not connection.usable:
            connection.abort()
            self._wake()
            raise OSError("the connection ended before anything was sent")
        self._open.add(connection)
        return connection

    async def close(self) -> None:
        """End every connection at once, and every wait for one."""
        self._closing.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._waiting:
            self._wake()
        for connection in self._open:
            connection.abort()
        await self._dialer.close()
        if self._open:
            await self._emptied.wait()
        self._deadlines.close()

    def _new(self, origin: Origin) -> Connection:
        return Connection(origin, deadlines=self._deadlines, on_idle=self._became_idle, on_lost=self._lost)

    def _became_idle(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._waiting:
            self._wake()
        if self._sweeper is None and not self._closing.is_set():
            self._sweeper = self._loop.call_later(self._keepalive, self._sweep)

    def _lost(self, connection: Connection) -> None:
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        self._forget(connection)

    def _end(self, connection: Connection) -> None:
        """End a connection that is in no list of idle ones; its place becomes free."""
        connection.abort()
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._wake()
        if self._closing.is_set() and not self._open:
            self._emptied.set()

    def _end_an_idle_one(self) -> bool:
        """Make room at the cost of another origin's connection."""
        for idle in self._idle.values():
            if idle:
                self._end(idle.pop(0))
                return True
        return False

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since + self._keepalive <= now:
                self._end(idle.pop(0))
            if not idle:
                del self._idle[origin]
        if self._idle:
            first = min(idle[0].idle_since for idle in self._idle.values())
            self._sweeper = self._loop.call_at(first + self._keepalive, self._sweep)

    async def _turn(self, *, first: bool) -> None:
        """Wait until a place may be free. A caller that was overtaken goes to the head of the line."""
        turn: asyncio.Future[None] = self._loop.create_future()
        if first:
            self._waiting.append(turn)
        else:
            self._waiting.appendleft(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # This caller's turn goes to the next one.
                self._wake()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
