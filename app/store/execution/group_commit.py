"""One connection for writes that replicas must have: all that gathers shares one ``WAIT``.

``WAIT`` tells how many replicas have all that its connection wrote, and blocks that connection at the server
until enough of them do. So these writes have a connection apart from everyone else's. What comes while one
``WAIT`` is open goes out together with the next one.

A ``WAIT`` over another connection would not do. That may lead to a new primary, which never had the write and
whose replicas have all that there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.multiplexed import Command, MultiplexedConnection, packed
from app.store.execution.reconnecting import FindAddress, ReconnectingConnection, SignOn

# While replicas are behind, how long one question to the server lasts. It ends at once when they are not.
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How many replicas must have a write, and for how many seconds they are waited for."""

    replicas: int
    seconds: float


class Written(NamedTuple):
    """The replies to some commands, and how many replicas have what these wrote."""

    replies: list[Any]
    replicas: int


class ReplicasBehind(Exception):
    """Too few replicas have an earlier write. Nothing was sent."""


class _Caller:
    """One call in the queue. ``deadline`` is the loop's clock, in seconds."""

    __slots__ = ("commands", "deadline", "future")

    def __init__(self, commands: Sequence[Command], deadline: float) -> None:
        self.commands = commands
        self.deadline = deadline
        self.future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class GroupCommit:
    """Writes to one server, on a connection that is opened when it is needed.

    Args:
        find: where to connect, asked each time.
        wanted: what makes a write count.
    """

    def __init__(self, find: FindAddress, sign_on: SignOn, wanted: Acknowledgement) -> None:
        self._way = ReconnectingConnection(find, sign_on)
        self._wanted = wanted
        self._queue: list[_Caller] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False
        # Whether too few replicas have the last write.
        self.behind = False

    async def run(self, commands: Sequence[Command], *, deadline: float) -> Written:
        """Run each command for itself; a refused one has its error in the reply's place.

        Args:
            deadline: of the replies, on the loop's clock in seconds. The replicas have their time after that.

        Raises:
            ReplicasBehind: nothing was sent.
            TimeoutError, RedisError, OSError: there is no connection, no reply in time, or no leave to
                ``WAIT``.
        """
        if self.behind:
            raise ReplicasBehind
        if self._closed:
            raise RedisConnectionError("closed")
        caller = _Caller(commands, deadline)
        self._queue.append(caller)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="store-group-commit")
        return await caller.future

    def close(self) -> None:
        """End the connection for good. Callers that still wait get the driver's ``ConnectionError``."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
        self._way.close()
        _fail(self._gathered(), RedisConnectionError("closed"))

    async def _work(self) -> None:
        """Send what has gathered, as often as something has."""
        while self._queue:
            callers = self._gathered()
            try:
                behind = await self._send(callers)
            except asyncio.CancelledError:
                _fail(callers, RedisConnectionError("closed"))
                raise
            except Exception as error:
                # Each caller reports it.
                _fail(callers, error)
            else:
                if behind is not None:
                    await self._catch_up(behind)

    async def _send(self, callers: Sequence[_Caller]) -> MultiplexedConnection | None:
        """Send these, and one ``WAIT`` for all. Return the connection where too few replicas have them."""
        now = asyncio.get_running_loop().time()
        # Nothing was written for these, which is a better end than one that comes too late.
        _fail([caller for caller in callers if caller.deadline <= now], TimeoutError())
        callers = [caller for caller in callers if not caller.future.done()]
        if not callers:
            return None
        commands = [command for caller in callers for command in caller.commands]
        deadline = max(caller.deadline for caller in callers)
        connection = self._way.current
        if connection is None or connection.closed:
            connection = await self._way.connect(deadline)
        *replies, replicas = await connection.send(
            packed([*commands, self._wait(self._wanted.seconds)]),
            len(commands) + 1,
            deadline=deadline + self._wanted.seconds,
        )
        refused = isinstance(replicas, Exception)
        if refused and not any(isinstance(reply, Exception) for reply in replies):
            raise replicas
        at = 0
        for caller in callers:
            own = replies[at : at + len(caller.commands)]
            at += len(own)
            if not caller.future.done():
                caller.future.set_result(Written(own, 0 if refused else replicas))
        return connection if not refused and replicas < self._wanted.replicas else None

    async def _catch_up(self, connection: MultiplexedConnection) -> None:
        """Return when enough replicas have what this connection wrote, or when it ends.

        Until then a further write would wait in vain, and what was asked of a provider for it would be lost.
        """
        self.behind, replicas = True, 0
        _fail(self._gathered(), ReplicasBehind())
        loop = asyncio.get_running_loop()
        try:
            while replicas < self._wanted.replicas:
                deadline = loop.time() + _LOOK_SECONDS + self._wanted.seconds
                (found,) = await connection.send(packed([self._wait(_LOOK_SECONDS)]), 1, deadline=deadline)
                if isinstance(found, Exception):
                    raise RedisConnectionError("the server refuses WAIT")
                replicas = found
        except (RedisConnectionError, TimeoutError):
            # It is no primary any more, or silent: the next write finds out what there is now.
            connection.close()
        finally:
            self.behind = False

    def _wait(self, seconds: float) -> Command:
        # 0 would mean for ever.
        return ("WAIT", self._wanted.replicas, max(1, int(seconds * 1000)))

    def _gathered(self) -> list[_Caller]:
        callers, self._queue = self._queue, []
        return callers


def _fail(callers: Sequence[_Caller], error: Exception) -> None:
    for caller in callers:
        caller.fail(error)
