"""All commands over one server's connection, long batches over a second one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError

from app.store.execution.base import SHORT, Command, packed
from app.store.execution.lane import Lane, Source

# One retry, at once: it is there for a connection that the server closed in the meantime. Every command of
# the request path may be repeated.
_TRIES: Final = 2


class Shared:
    """The ``Executor`` of one server."""

    def __init__(self, source: Source) -> None:
        self._requests = Lane(source)
        self._batches = Lane(source)

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        data = packed(commands)
        lane = self._requests if len(commands) <= SHORT else self._batches
        deadline = asyncio.get_running_loop().time() + timeout
        for tries_left in reversed(range(_TRIES)):
            wire = lane.wire
            if wire is None or wire.closed:
                wire = await lane.connect(deadline)
            try:
                return await wire.send(data, len(commands), deadline=deadline)
            except RedisConnectionError:
                if not tries_left:
                    raise
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        for lane in (self._requests, self._batches):
            await lane.close()
