"""Commands straight to the primaries of a Cluster, over one connection to each.

For each command the driver looks a node up, takes a connection and sets a timer, which costs a request as
much as everything else that it does. So the driver only keeps the map of the topology, which is read here. A
command goes to the driver when a node is gone or redirects us, and that updates the map.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from redis.asyncio.cluster import NodesManager
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from app.store.execution.executors import SHORT, Executor
from app.store.execution.multiplexed import Command, packed
from app.store.execution.reconnecting import Address, ReconnectingConnection, SignOn
from app.store.faults import DRIVER_ERRORS

# Where each command has its first key. Where it has several, all lie in one slot, or the server refuses it.
# Other commands go through the driver's pool.
_KEY_AT: Final = {
    "EVALSHA": 3,
    "EVAL": 3,
    "SET": 1,
    "GET": 1,
    "EXISTS": 1,
    "HMGET": 1,
    "PTTL": 1,
    "LLEN": 1,
    "LRANGE": 1,
    "ZREM": 1,
}
# The node was the wrong one to ask, or cannot answer now: the driver knows what to do.
_ELSEWHERE: Final = (MovedError, AskError, TryAgainError, ClusterDownError, MasterDownError, ClusterError)

# While a node is silent, the topology is asked for at most this often, in seconds.
_RENEWAL_SECONDS: Final = 1.0
# In the place of a reply that the node could not give.
_UNANSWERED: Final = object()

Replies = asyncio.Future[list[Any]]


class Cluster:
    """The ``Executor`` of a Cluster.

    Args:
        topology: is filled by the first command that goes through ``otherwise``.
        otherwise: the driver's pool, for what cannot go straight. Every command may be repeated there.
    """

    def __init__(self, topology: NodesManager, sign_on: SignOn, *, otherwise: Executor) -> None:
        self._topology = topology
        self._sign_on = sign_on
        self._otherwise = otherwise
        self._connections: dict[str, ReconnectingConnection] = {}
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = -math.inf

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        groups = self._by_node(commands) if len(commands) <= SHORT else None
        if groups is None:
            return await self._otherwise.run(commands, timeout=timeout)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        replies = await self._ask(groups, commands, deadline)
        again = [
            at for at, reply in enumerate(replies) if reply is _UNANSWERED or isinstance(reply, _ELSEWHERE)
        ]
        if again:
            left = max(deadline - loop.time(), 0.0)
            found = await self._otherwise.run([commands[at] for at in again], timeout=left)
            for at, reply in zip(again, found, strict=True):
                replies[at] = reply
        return replies

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _by_node(self, commands: Sequence[Command]) -> dict[str, list[int]] | None:
        """The places of the commands, by the name of their node.

        None where no key of a command is known here, or no primary of its slot is known yet.
        """
        groups: dict[str, list[int]] = {}
        for at, command in enumerate(commands):
            where = _KEY_AT.get(str(command[0]))
            if where is None:
                return None
            nodes = self._topology.slots_cache.get(key_slot(str(command[where]).encode()))
            if not nodes:
                return None
            groups.setdefault(nodes[0].name, []).append(at)
        return groups

    async def _ask(
        self, groups: dict[str, list[int]], commands: Sequence[Command], deadline: float
    ) -> list[Any]:
        """Return every reply in its place; one that a node did not give is marked.

        Raises:
            TimeoutError: a node is silent.
        """
        replies: list[Any] = [_UNANSWERED] * len(commands)
        sent: dict[str, Replies] = {}
        name = ""
        try:
            # Send to every node before waiting for any of them: this makes it one round trip.
            for name, places in groups.items():
                future = await self._send(name, [commands[at] for at in places], deadline)
                if future is not None:
                    sent[name] = future
            for name, future in sent.items():
                try:
                    found = await future
                except RedisConnectionError:
                    continue
                for at, reply in zip(groups[name], found, strict=True):
                    replies[at] = reply
        except BaseException as error:
            _forget(sent.values())
            if isinstance(error, TimeoutError):
                self._renew(silent=name)
            raise
        return replies

    async def _send(self, name: str, commands: Sequence[Command], deadline: float) -> Replies | None:
        """Send to a node; None where it cannot be reached."""
        way = self._connections.get(name)
        connection = way.current if way is not None else None
        if connection is None or connection.closed:
            try:
                way = way or self._way_to(name)
                connection = await way.connect(deadline)
            except TimeoutError:
                raise
            except (RedisError, OSError, KeyError):
                return None
        return connection.send(packed(commands), len(commands), deadline=deadline)

    def _way_to(self, name: str) -> ReconnectingConnection:
        """Prepare a connection to a node, and end those to nodes that are gone.

        Raises:
            KeyError: the node has gone in the meantime.
        """
        nodes = self._topology.nodes_cache
        address: Address = (nodes[name].host, int(nodes[name].port))

        async def find() -> Address:
            return address

        made = self._connections[name] = ReconnectingConnection(find, self._sign_on)
        for gone in [other for other in self._connections if other not in nodes]:
            self._connections.pop(gone).close()
        return made

    def _renew(self, *, silent: str) -> None:
        """Ask the other nodes, in the background, which node has the silent one's slots now.

        The driver asks when a connection is refused or lost. A machine that is gone refuses nothing, and a
        request's deadline leaves no time to ask.
        """
        now = asyncio.get_running_loop().time()
        if (self._renewal is None or self._renewal.done()) and now - self._renewed >= _RENEWAL_SECONDS:
            self._renewed = now
            self._renewal = asyncio.create_task(self._learn(silent), name="cluster-topology")

    async def _learn(self, silent: str) -> None:
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._topology.initialize(last_failed_node_name=silent)


def _forget(futures: Iterable[Replies]) -> None:
    """Give up replies that no caller will read."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()
