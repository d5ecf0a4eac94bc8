"""Commands by the driver's own way: a connection of its pool for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from app.store.execution.base import Command


class Through:
    """The ``Executor`` of any client.

    Waiting for a connection is done here: the driver's pools raise where none is free.
    """

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
        """Ends nothing: the connections are the client's."""
