"""Sends commands to the store and reads their replies: the part of the driver that every request pays for.

redis-py's ``execute_command`` packs arguments in Python, and wraps each command in a retry closure and in
metrics that nobody reads here. On one server we use its connections and its pool, but send what hiredis
packed and read the replies ourselves, which a benchmark sees (``tests/bench/cpu.py``). A Cluster, whose
client must find the node, goes the driver's own way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import hiredis
import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Command = Sequence[str | int]
# Runs the commands in one round trip, each for itself, and returns their replies in order. A command that the
# server refused has its error in the reply's place, so that the others' replies are not lost.
Executor = Callable[..., Awaitable[list[Any]]]

# One retry, at once: it is there for a pooled connection that the server closed in the meantime. Every
# command of the request path may be repeated.
_TRIES: Final = 2


def executor_for(client: redis.Redis | RedisCluster) -> Executor:
    """The quickest way to run commands with this client.

    The executor raises the driver's errors, but for error replies.
    """
    # ``is``, since fakeredis is a subclass whose connections are queues.
    if type(client) is redis.Redis:
        return _Direct(client.connection_pool).run
    return _Through(client).run


class _Direct:
    """Over connections of the pool, without the client in between."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def run(self, *commands: Command) -> list[Any]:
        pack: Any = hiredis.pack_command  # its stub asks for a tuple of one
        packed = b"".join([pack(tuple(command)) for command in commands])
        connection = await self._pool.get_connection()
        try:
            for tries_left in reversed(range(_TRIES)):
                try:
                    await connection.send_packed_command(packed, check_health=False)
                    return await _replies(connection, len(commands))
                except RedisConnectionError:
                    await connection.disconnect()
                    if not tries_left:
                        raise
        finally:
            await self._pool.release(connection)
        raise AssertionError("the loop returns or raises")


class _Through:
    """The driver's own way."""

    def __init__(self, client: redis.Redis | RedisCluster) -> None:
        self._client = client

    async def run(self, *commands: Command) -> list[Any]:
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


async def _replies(connection: Any, count: int) -> list[Any]:
    """Read ``count`` replies, all of them, or the next reader would get what is left."""
    replies: list[Any] = []
    for _ in range(count):
        try:
            # A read that is cut off, by a deadline too, disconnects: the reply may still come.
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
