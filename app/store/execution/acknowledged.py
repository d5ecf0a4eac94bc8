"""Writes that replicas must have, at a single server and in a Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from app.store.errors import AskError, ClusterDownError, MasterDownError, MovedError, TryAgainError
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.group_commit import Acknowledgement, GroupCommit, Written
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address, FindAddress, SignOn
from app.store.faults import DRIVER_ERRORS

if TYPE_CHECKING:
    from app.store.redis_py import DriverTopology

# The connection was lost, then the slot has moved. Every command may be repeated.
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.05
# While a node is silent, the topology is asked for at most this often, in seconds.
_RENEWAL_SECONDS: Final = 1.0


class AcknowledgedWrites(Protocol):
    """Runs commands, and waits for replicas to have what they wrote."""

    # Whether keys of different slots may lie on different servers.
    spread: bool

    @property
    def behind(self) -> bool:
        """Whether every write would fail now, since too few replicas have an earlier one."""

    async def run(self, key: str, commands: Sequence[Command], *, timeout: float) -> Written:
        """Run commands at the primary of a key, over one connection, and ``WAIT`` there.

        Args:
            timeout: of the replies, in seconds. The replicas have their time after that.

        Raises:
            ReplicasBehind, TimeoutError, RedisError, OSError: as ``GroupCommit.run``.
        """

    async def close(self) -> None:
        """End the connections."""


class AcknowledgedServer:
    """The ``AcknowledgedWrites`` of a single server, or of the primary that Sentinel names."""

    spread = False

    def __init__(self, find: FindAddress, sign_on: SignOn, wanted: Acknowledgement) -> None:
        self._commit = GroupCommit(find, sign_on, wanted)

    @property
    def behind(self) -> bool:
        return self._commit.behind

    async def run(self, key: str, commands: Sequence[Command], *, timeout: float) -> Written:
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            return await self._commit.run(commands, deadline=deadline)
        except RedisConnectionError:
            # The server closed the connection in the meantime.
            return await self._commit.run(commands, deadline=deadline)

    async def close(self) -> None:
        self._commit.close()


class AcknowledgedCluster:
    """The ``AcknowledgedWrites`` of a Cluster: each primary for itself.

    Args:
        topology: of the driver's client.
    """

    spread = True

    def __init__(self, topology: DriverTopology, sign_on: SignOn, wanted: Acknowledgement) -> None:
        self._wanted = wanted
        self._topology = topology
        self._sign_on = sign_on
        self._commits: dict[Address, GroupCommit] = {}
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = -math.inf

    @property
    def behind(self) -> bool:
        commits = [self._commits.get(node) for node in self._topology.primaries]
        return bool(commits) and all(commit is not None and commit.behind for commit in commits)

    async def run(self, key: str, commands: Sequence[Command], *, timeout: float) -> Written:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        to, asking = await self._topology.owner(key, deadline), False
        for tries_left in reversed(range(_TRIES)):
            trouble: Exception | None
            try:
                written = await self._run_at(to, commands, asking=asking, deadline=deadline)
                trouble = next((reply for reply in written.replies if isinstance(reply, Exception)), None)
                if trouble is None or not tries_left:
                    return written
            except RedisConnectionError as error:
                if not tries_left:
                    raise
                trouble = error
            except TimeoutError:
                self._renew(silent=to)
                raise
            asking = isinstance(trouble, AskError)
            if isinstance(trouble, AskError):
                to = trouble.address
            elif isinstance(trouble, MovedError | RedisConnectionError):
                await self._learn(deadline)
                to = await self._topology.owner(key, deadline)
            elif isinstance(trouble, TryAgainError | ClusterDownError | MasterDownError):
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return written
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        for commit in self._commits.values():
            commit.close()

    async def _run_at(
        self, to: Address, commands: Sequence[Command], *, asking: bool, deadline: float
    ) -> Written:
        commit = self._commits.get(to) or self._commit_at(to)
        if not asking:
            return await commit.run(commands, deadline=deadline)
        # The leave to ask for a slot that is still moving holds for one command.
        asked = [part for command in commands for part in (("ASKING",), command)]
        replies, replicas = await commit.run(asked, deadline=deadline)
        return Written(replies[1::2], replicas)

    def _commit_at(self, to: Address) -> GroupCommit:
        """Prepare a connection to a node, and end those to nodes that are gone."""

        async def find() -> Address:
            return to

        for gone in self._commits.keys() - set(self._topology.nodes):
            self._commits.pop(gone).close()
        made = self._commits[to] = GroupCommit(find, self._sign_on, self._wanted)
        return made

    async def _learn(self, deadline: float) -> None:
        async with asyncio.timeout_at(deadline):
            await self._topology.learn()

    def _renew(self, *, silent: Address) -> None:
        """Ask the other nodes, in the background, which node has the silent one's slots now."""
        now = asyncio.get_running_loop().time()
        if (self._renewal is None or self._renewal.done()) and now - self._renewed >= _RENEWAL_SECONDS:
            self._renewed = now
            self._renewal = asyncio.create_task(self._learn_without(silent), name="cluster-topology")

    async def _learn_without(self, silent: Address) -> None:
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._topology.learn(failed=silent)
