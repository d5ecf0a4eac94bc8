"""Commands straight to the primaries of a Cluster, over one connection to each.

Each primary is down or well for itself: what a node cannot answer fails, and the other nodes' replies count.
While one is down, the others are asked again and again which node has its slots now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from app.store.errors import AskError, MovedError, RedisError, TryAgainError
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.executors import SHORT, Executor
from app.store.execution.health import Health, NodeListener
from app.store.execution.multiplexed import Command, MultiplexedConnection, packed
from app.store.execution.reconnecting import Address, ReconnectingConnection, SignOn, forget_failure
from app.store.execution.topology import SLOTS, Topology, address_of, name_of
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
# These may be sent again: to another node, in a moment, or over another connection.
_REPEATABLE: Final = (MovedError, AskError, TryAgainError, RedisConnectionError)
# In the place of a reply that is still to come.
_UNANSWERED: Final = object()
# Times that a command is sent: its connection was lost, its slot has moved, and once more.
_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.05
# While a primary is down, the others are asked for the slots this often.
_LEARN_AGAIN_SECONDS: Final = 0.15
_LEARN_SECONDS: Final = 1.0
_ASKING: Final[Command] = ("ASKING",)
# The name of all nodes together, as long as none is known.
_ALL: Final = "cluster"

Replies = asyncio.Future[list[Any]]


class Cluster:
    """The ``Executor`` of a Cluster. A command that no node answered has its error in the reply's place.

    Args:
        seeds: nodes to ask first for the others.
        otherwise: the driver's pool, for long batches and for commands without a key.
        health: is told which nodes are down.
        silence: seconds, as for ``MultiplexedConnection``.
    """

    notices_silence = True

    def __init__(
        self,
        seeds: Sequence[Address],
        sign_on: SignOn,
        *,
        otherwise: Executor,
        health: Health,
        silence: float,
    ) -> None:
        self._topology = Topology(seeds)
        self._sign_on = sign_on
        self._otherwise = otherwise
        self._health = health
        self._silence = silence
        self._connections: dict[str, ReconnectingConnection] = {}
        self._lesson: asyncio.Task[None] | None = None
        self._lessons: asyncio.Task[None] | None = None
        health.listeners.append(self._learn_while_down)

    @property
    def nodes(self) -> Collection[str]:
        return self._topology.primaries or (_ALL,)

    def node_of(self, command: Command) -> str:
        where = _KEY_AT.get(str(command[0]))
        return (where is not None and self._topology.owner(str(command[where]))) or _ALL

    def key_at(self, node: str, name: Callable[[int], str]) -> str:
        return next((key for key in map(name, range(SLOTS)) if self._topology.owner(key) == node), name(0))

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        if len(commands) > SHORT or not all(str(command[0]) in _KEY_AT for command in commands):
            return await self._otherwise.run(commands, timeout=timeout)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if not self._topology.primaries:
            await self._learn(deadline)
        replies: list[Any] = [_UNANSWERED] * len(commands)
        groups = self._by_node(commands)
        for tries_left in reversed(range(_TRIES)):
            await self._ask(groups, commands, replies, deadline)
            again = [at for at, reply in enumerate(replies) if isinstance(reply, _REPEATABLE)]
            if not again or not tries_left or loop.time() >= deadline:
                break
            groups = await self._elsewhere(commands, replies, again, deadline)
        return replies

    async def close(self) -> None:
        self._health.listeners.remove(self._learn_while_down)
        tasks = [task for task in (self._lesson, self._lessons) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _by_node(self, commands: Sequence[Command]) -> dict[str, list[int]]:
        """The places of the commands, by the name of their node."""
        groups: dict[str, list[int]] = {}
        for at, command in enumerate(commands):
            groups.setdefault(self.node_of(command), []).append(at)
        return groups

    async def _ask(
        self,
        groups: Mapping[str, list[int]],
        commands: Sequence[Command],
        replies: list[Any],
        deadline: float,
    ) -> None:
        """Put every reply into its place, or the error of the node that did not give it."""
        sent: list[tuple[list[int], list[Command], Replies]] = []
        try:
            # Send to every node before waiting for any of them: this makes it one round trip.
            for node, places in groups.items():
                lines = _lines(commands, places, replies)
                connection = await self._connect(node, deadline)
                if isinstance(connection, Exception):
                    _put(replies, places, connection)
                else:
                    sent.append(
                        (places, lines, connection.send(packed(lines), len(lines), deadline=deadline))
                    )
            for places, lines, future in sent:
                try:
                    found = await future
                except (RedisConnectionError, TimeoutError) as error:
                    _put(replies, places, error)
                    continue
                if len(found) > len(places):
                    found = [reply for line, reply in zip(lines, found, strict=True) if line is not _ASKING]
                for at, reply in zip(places, found, strict=True):
                    replies[at] = reply
        except BaseException:
            _forget(future for _, _, future in sent)
            raise

    async def _elsewhere(
        self, commands: Sequence[Command], replies: list[Any], again: Sequence[int], deadline: float
    ) -> dict[str, list[int]]:
        """Where to send what was not answered: the places of the commands, by the name of their node."""
        before = [self.node_of(commands[at]) for at in again]
        lost = {node for at, node in zip(again, before, strict=True) if isinstance(replies[at], _NotReached)}
        if lost:
            with contextlib.suppress(*DRIVER_ERRORS):
                await self._learn(deadline)
        if any(isinstance(replies[at], TryAgainError) for at in again):
            await asyncio.sleep(_PAUSE_SECONDS)
        groups: dict[str, list[int]] = {}
        for at in again:
            reply = replies[at]
            if isinstance(reply, MovedError):
                self._topology.move(str(commands[at][_KEY_AT[str(commands[at][0])]]), name_of(reply.address))
                self._learn_soon()
            # MovedError is an AskError, too.
            asked = type(reply) is AskError
            node = name_of(reply.address) if asked else self.node_of(commands[at])
            # One that cannot be reached, and has no successor yet, is not asked again.
            if node not in lost:
                groups.setdefault(node, []).append(at)
        return groups

    async def _connect(self, node: str, deadline: float) -> MultiplexedConnection | Exception:
        """The connection to a node, or why there is none."""
        way = self._connections.get(node)
        connection = way.current if way is not None else None
        if connection is not None and not connection.closed:
            return connection
        try:
            return await (way or self._way_to(node)).connect(deadline)
        except (RedisError, OSError) as error:
            if node in self._topology.primaries:
                self._health.failed(node, error)
            return _NotReached(str(error)) if isinstance(error, RedisConnectionError) else error

    def _way_to(self, node: str) -> ReconnectingConnection:
        address = address_of(node)

        async def find() -> Address:
            return address

        listener = NodeListener(self._health, node, self._silence)
        made = ReconnectingConnection(find, self._sign_on, silence=self._silence, listener=listener)
        self._connections[node] = made
        return made

    async def _learn(self, deadline: float) -> None:
        """Learn which node has which slot, together with all who want to know.

        Raises:
            ConnectionError: the driver's; no node knows, or none by the deadline (the loop's clock).
        """
        if self._lesson is None or self._lesson.done():
            self._lesson = asyncio.create_task(self._learn_once(), name="cluster-topology")
            self._lesson.add_done_callback(forget_failure)
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._lesson)
        except TimeoutError:
            raise RedisConnectionError("no node of the cluster answers: timed out") from None

    async def _learn_once(self) -> None:
        await self._topology.learn(self._slots_by, down=self._health.down)
        nodes = self._topology.primaries
        # First the callers of a node that has lost its slots: they find the new one.
        for gone in [node for node in self._connections if node not in nodes]:
            self._connections.pop(gone).close("the node has no slots any more")
        self._health.forget_others(nodes)

    async def _slots_by(self, node: str, seconds: float) -> Any:
        """What a node says of the slots; None where it says nothing of the kind."""
        deadline = asyncio.get_running_loop().time() + seconds
        connection = await self._connect(node, deadline)
        if isinstance(connection, Exception):
            return None
        try:
            (reply,) = await connection.send(packed([("CLUSTER", "SLOTS")]), 1, deadline=deadline)
        except DRIVER_ERRORS:
            return None
        return reply if isinstance(reply, list) else None

    def _learn_while_down(self) -> None:
        if self._health.down:
            self._learn_soon()

    def _learn_soon(self) -> None:
        if self._lessons is None or self._lessons.done():
            self._lessons = asyncio.create_task(self._keep_learning(), name="cluster-lessons")

    async def _keep_learning(self) -> None:
        """Learn once, and again as long as a primary is down."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(*DRIVER_ERRORS):
                await self._learn(loop.time() + _LEARN_SECONDS)
            if not self._health.down:
                return
            await asyncio.sleep(_LEARN_AGAIN_SECONDS)


class _NotReached(RedisConnectionError):
    """There is no connection to the node that has the slot."""


def _lines(commands: Sequence[Command], places: Sequence[int], replies: Sequence[Any]) -> list[Command]:
    lines: list[Command] = []
    for at in places:
        if type(replies[at]) is AskError:
            # The leave to ask for a slot that is still moving holds for one command.
            lines.append(_ASKING)
        lines.append(commands[at])
    return lines


def _put(replies: list[Any], places: Sequence[int], error: Exception) -> None:
    for at in places:
        replies[at] = error


def _forget(futures: Iterable[Replies]) -> None:
    """Give up replies that no caller will read."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()
