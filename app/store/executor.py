"""Sends commands to the store and reads their replies: the part of the driver that every request pays for.

On one server, Sentinel's primary included, all requests share a connection (``wire``). A Cluster, whose
client must find the node, and ``memory://`` go the driver's own way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import hiredis
import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from app.store.wire import Wire

Command = Sequence[str | int]

# One retry, at once: it is there for a connection that the server closed in the meantime. Every command of
# the request path may be repeated.
_TRIES: Final = 2
# Longer batches are an operator's; on a connection of their own they hold up no request.
_SHORT: Final = 8


class Executor(Protocol):
    """Runs commands in one round trip."""

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        """Run each command for itself and return their replies in order.

        A command that the server refused has its error in the reply's place, so that the others' replies are
        not lost.

        Raises:
            TimeoutError: no reply within ``timeout`` seconds, connecting included.
            RedisError, OSError: the driver's own, where there is no connection.
        """

    async def close(self) -> None:
        """End the executor's own connections."""


def executor_for(client: redis.Redis | RedisCluster, *, max_connections: int) -> Executor:
    """The quickest way to run commands with this client."""
    # ``is``, since fakeredis is a subclass whose connections are queues.
    if type(client) is redis.Redis:
        return _Shared(client.connection_pool)
    return _Through(client, max_connections=max_connections)


class _Shared:
    """Over two connections of the driver's pool, one for requests and one for long batches."""

    def __init__(self, pool: Any) -> None:
        self._requests = _Lane(pool)
        self._batches = _Lane(pool)

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        pack: Any = hiredis.pack_command  # its stub asks for a tuple of one
        packed = b"".join([pack(command) for command in commands])
        lane = self._requests if len(commands) <= _SHORT else self._batches
        deadline = asyncio.get_running_loop().time() + timeout
        for tries_left in reversed(range(_TRIES)):
            wire = lane.wire
            if wire is None or wire.closed:
                wire = await lane.connect(deadline)
            try:
                return await wire.send(packed, len(commands), deadline=deadline)
            except RedisConnectionError:
                if not tries_left:
                    raise
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        for lane in (self._requests, self._batches):
            await lane.close()


class _Lane:
    """A connection that is made when it is wanted, and made anew when it was lost."""

    def __init__(self, pool: Any) -> None:
        self.wire: Wire | None = None
        self._pool = pool
        self._connection: Any = None
        self._connecting = asyncio.Lock()

    async def connect(self, deadline: float) -> Wire:
        async with asyncio.timeout_at(deadline), self._connecting:
            if self.wire is not None and not self.wire.closed:
                return self.wire  # somebody else's doing, while we waited
            await self.close()
            self._connection = await self._pool.get_connection()
            self.wire = Wire(self._connection)
            return self.wire

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self.wire is not None:
                self.wire.close()
            # What is left is the driver's book-keeping; there is nobody to say goodbye to.
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class _Through:
    """The driver's own way. Waiting for a connection is done here: its pools raise where none is free."""

    def __init__(self, client: redis.Redis | RedisCluster, *, max_connections: int) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(max_connections)

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        async with asyncio.timeout(timeout), self._slots:
            if len(commands) == 1:
                try:
                    return [await self._client.execute_command(*commands[0])]
                except ResponseError as error:
                    return [error]
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies

    async def close(self) -> None:
        pass  # the connections are the client's
