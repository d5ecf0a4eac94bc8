"""Runs commands at a store, and at one server over connections of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.health import PRIMARY, Health, NodeListener
from app.store.execution.multiplexed import Command, packed
from app.store.execution.reconnecting import FindAddress, ReconnectingConnection, SignOn

# Longer batches are an operator's. They must not hold up requests.
SHORT: Final = 8
# One retry, at once, for a connection that the server closed in the meantime. Every command of the request
# path may be repeated.
_TRIES: Final = 2


class Executor(Protocol):
    """Runs commands in one round trip.

    Attributes:
        notices_silence: it tells the health itself when a node falls silent. A timeout then says no more than
            that a caller's time was over.
    """

    notices_silence: bool

    @property
    def nodes(self) -> Collection[str]:
        """The names of the nodes that take writes, as far as they are known; never empty."""

    def node_of(self, command: Command) -> str:
        """The name of the node that the command goes to."""

    def key_at(self, node: str, name: Callable[[int], str]) -> str:
        """The first of the names for 0, 1 and so on that is a key of this node."""

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        """Run each command for itself and return their replies in order.

        A command that the server refused has its error in the reply's place, so that the others' replies are
        not lost. So has one whose node of a Cluster did not answer.

        Raises:
            TimeoutError: no reply within ``timeout`` seconds.
            RedisError, OSError: the driver's, where there is no connection, or none in that time.
        """

    async def close(self) -> None:
        """End the executor's connections."""


class OneNode:
    """What an executor knows of nodes where all keys are at one server."""

    @property
    def nodes(self) -> Collection[str]:
        return (PRIMARY,)

    def node_of(self, command: Command) -> str:
        return PRIMARY

    def key_at(self, node: str, name: Callable[[int], str]) -> str:
        return name(0)


class SingleServer(OneNode):
    """All requests share one connection. Long batches have a second one.

    Args:
        health: is told when the server falls silent, and when it speaks again.
        silence: seconds, as for ``MultiplexedConnection``.
    """

    notices_silence = True

    def __init__(self, find: FindAddress, sign_on: SignOn, *, health: Health, silence: float) -> None:
        listener = NodeListener(health, PRIMARY, silence)
        self._requests = ReconnectingConnection(find, sign_on, silence=silence, listener=listener)
        self._batches = ReconnectingConnection(find, sign_on)

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        data = packed(commands)
        way = self._requests if len(commands) <= SHORT else self._batches
        deadline = asyncio.get_running_loop().time() + timeout
        for tries_left in reversed(range(_TRIES)):
            try:
                connection = way.current
                if connection is None or connection.closed:
                    connection = await way.connect(deadline)
                return await connection.send(data, len(commands), deadline=deadline)
            except RedisConnectionError:
                if not tries_left:
                    raise
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        self._requests.close()
        self._batches.close()
