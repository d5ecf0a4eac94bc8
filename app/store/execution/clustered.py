"""Commands straight to the primaries of a Cluster, over one connection to each.

The driver looks a node up, takes a connection and sets a timer for each command, which costs a request as
much as all else that it does. Here the driver keeps what it is good at: it learns the topology, and it is
asked again whenever a node is gone or sends us elsewhere, which brings its map up to date; ours is a view
of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from redis.asyncio.cluster import ClusterNode, RedisCluster
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

from app.store.execution.base import SHORT, Command, Executor, packed
from app.store.execution.lane import Lane
from app.store.faults import DRIVER_ERRORS

# Where each command has its first key. Of several, all lie in one slot, or the server refuses it. Commands
# that are not here go the driver's way.
_KEY_AT: Final = {
    "EVALSHA": 3,
    "EVAL": 3,
    "SET": 1,
    "EXISTS": 1,
    "HMGET": 1,
    "PTTL": 1,
    "LLEN": 1,
    "LRANGE": 1,
}
# The node was the wrong one to ask, or cannot say just now: the driver knows what to do.
_ELSEWHERE: Final = (MovedError, AskError, TryAgainError, ClusterDownError, MasterDownError, ClusterError)

# How often the topology is asked for at the most, in seconds, while a node is silent.
_RENEWAL_SECONDS: Final = 1.0
# In the place of a reply that the node could not give.
_UNANSWERED: Final = object()

Replies = asyncio.Future[list[Any]]


class Clustered:
    """The ``Executor`` of a Cluster.

    Args:
        client: knows the topology, once something went through it.
        otherwise: the driver's own way, for what cannot go straight. Every command may be repeated there.
    """

    def __init__(self, client: RedisCluster, *, otherwise: Executor) -> None:
        self._topology = client.nodes_manager
        self._otherwise = otherwise
        self._lanes: dict[str, Lane] = {}
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
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            await lane.close()

    def _by_node(self, commands: Sequence[Command]) -> dict[str, list[int]] | None:
        """The places of the commands, by the name of their node.

        None where a command has no key that is known here, or its slot no primary that is known yet.
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
        """Every reply in its place; what a node did not answer is marked.

        Raises:
            TimeoutError: a node is silent.
        """
        replies: list[Any] = [_UNANSWERED] * len(commands)
        sent: dict[str, Replies] = {}
        name = ""
        try:
            # Everything is on its way before anything is waited for: that is the one round trip.
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
        lane = self._lanes.get(name)
        wire = lane.wire if lane is not None else None
        if wire is None or wire.closed:
            try:
                lane = lane or await self._new_lane(name)
                wire = await lane.connect(deadline)
            except TimeoutError:
                raise
            except (RedisError, OSError, KeyError):
                return None
        return wire.send(packed(commands), len(commands), deadline=deadline)

    async def _new_lane(self, name: str) -> Lane:
        """Make a lane to a node, and end those to nodes that are gone.

        Raises:
            KeyError: it has gone in the meantime.
        """
        nodes = self._topology.nodes_cache
        made = self._lanes[name] = Lane(_Node(nodes[name]))
        for gone in [other for other in self._lanes if other not in nodes]:
            await self._lanes.pop(gone).close()
        return made

    def _renew(self, *, silent: str) -> None:
        """Ask the other nodes, in the background, who has the silent one's slots by now.

        The driver does so where a connection is refused or lost. A machine that is gone refuses nothing, and
        a request's deadline leaves no time to ask.
        """
        now = asyncio.get_running_loop().time()
        if (self._renewal is None or self._renewal.done()) and now - self._renewed >= _RENEWAL_SECONDS:
            self._renewed = now
            self._renewal = asyncio.create_task(self._learn(silent), name="cluster-topology")

    async def _learn(self, silent: str) -> None:
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._topology.initialize(last_failed_node_name=silent)


class _Node:
    """Makes connections to one node as the driver would, apart from the driver's own."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    async def get_connection(self) -> Any:
        connection: Any = self._node.connection_class(**self._node.connection_kwargs)
        await connection.connect()
        return connection

    async def release(self, connection: Any) -> None:
        del connection  # nobody counts them


def _forget(futures: Iterable[Replies]) -> None:
    """Nobody will look at these any more, whatever becomes of them."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()
