"""One store's client of redis-py: commands, pub/sub, its pool, and its view of a Cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.cluster import RedisCluster

from app.store import errors
from app.store.address import StoreAddress
from app.store.execution.executors import OneNode
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address
from app.store.redis_py.clients import made

_OURS: Final = {
    getattr(exceptions, name): kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.RedisError)
}
_DRIVERS: Final = (exceptions.RedisError, exceptions.RedisClusterException)


def translated(error: exceptions.RedisError | exceptions.RedisClusterException) -> errors.RedisError:
    """Our error for one of the driver's."""
    ours = next((_OURS[kind] for kind in type(error).__mro__ if kind in _OURS), errors.RedisError)
    return ours(*error.args)


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except _DRIVERS as error:
        raise translated(error) from error


class Driver:
    """The driver's client for one store. Nothing is connected yet.

    Args:
        address: of the store.
        sign_on: how connections sign on, as ``SignOn`` takes it.
        timeout: seconds until a connection that is not made counts as failed.
        max_connections: of this process, to one server. Callers must not open more.

    Raises:
        ValueError: ``memory://`` without fakeredis installed.
    """

    def __init__(
        self, address: StoreAddress, sign_on: Mapping[str, Any], *, timeout: float, max_connections: int
    ) -> None:
        self.client: Final = made(address, sign_on, timeout=timeout, max_connections=max_connections)

    def pooled(self, max_connections: int) -> Pooled:
        """What runs commands through the driver's pool, so many at once."""
        return Pooled(self.client, max_connections=max_connections)

    def topology(self) -> DriverTopology:
        """The nodes of the Cluster.

        Raises:
            TypeError: the store is no Cluster.
        """
        if not isinstance(self.client, RedisCluster):
            raise TypeError("only a Cluster has nodes")
        return DriverTopology(self.client)

    async def run(self, *command: str | int, anywhere: bool = False) -> Any:
        """The reply to one command.

        Args:
            anywhere: any node of a Cluster will do; otherwise it is the one of the command's key.

        Raises:
            RedisError, OSError: it cannot be sent, or is refused.
        """
        with _translating():
            if not isinstance(self.client, RedisCluster):
                # redis-py types the Cluster client's, not this one's.
                return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]
            await self.client.initialize()
            options = {"target_nodes": self.client.get_default_node()} if anywhere else {}
            return await self.client.execute_command(*command, **options)

    async def subscription(self) -> Subscription:
        """A pub/sub client, which takes a connection from the pool and keeps it.

        In a Cluster any node serves: nodes pass messages on to each other.

        Raises:
            RedisError, OSError: no node of a Cluster answers.
        """
        with _translating():
            if isinstance(self.client, RedisCluster):
                # The driver's own view of the nodes, which nothing else here needs.
                await self.client.initialize()
            return Subscription(self.client.pubsub())

    async def close(self) -> None:
        """Close every connection, also those to the Sentinels, which the client leaves open."""
        with _translating():
            await self.client.aclose()
            manager = getattr(getattr(self.client, "connection_pool", None), "sentinel_manager", None)
            for sentinel in manager.sentinels if manager is not None else ():
                await sentinel.aclose()


class Subscription:
    """The driver's pub/sub client. Each method raises RedisError or OSError."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def subscribe(self, channel: str) -> None:
        """Ask for a channel's messages. ``next`` returns the confirmation, too."""
        with _translating():
            await self._client.subscribe(channel)

    async def next(self, *, timeout: float | None) -> Mapping[str, Any] | None:
        """The next message within ``timeout`` seconds, where there is one; it has a ``type`` and ``data``."""
        with _translating():
            found: Mapping[str, Any] | None = await self._client.get_message(timeout=timeout)
            return found

    async def aclose(self) -> None:
        """Close the connection."""
        with _translating():
            await self._client.aclose()


class Pooled(OneNode):
    """Each call takes a connection of the driver's pool.

    Callers wait for a free connection here: the driver's pools raise where none is free.
    """

    notices_silence = False

    def __init__(self, client: redis.Redis | RedisCluster, *, max_connections: int) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(max_connections)

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        async with asyncio.timeout(timeout), self._slots:
            with _translating():
                replies = await self._replies(commands)
        return [translated(reply) if isinstance(reply, _DRIVERS) else reply for reply in replies]

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await self._client.execute_command(*commands[0])]
            except exceptions.ResponseError as error:
                return [error]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def close(self) -> None:
        """End nothing: the connections are the client's."""


class DriverTopology:
    """The nodes of a Cluster as the driver knows them: none before ``owner`` or ``begin`` has found some."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client

    @property
    def primaries(self) -> list[Address]:
        return [(node.host, int(node.port)) for node in self._client.get_primaries()]

    @property
    def nodes(self) -> list[Address]:
        """Primaries and replicas."""
        return [(node.host, int(node.port)) for node in self._client.get_nodes()]

    async def begin(self) -> None:
        """Find the nodes, unless they are known.

        Raises:
            RedisError, OSError: no node answers.
        """
        with _translating():
            await self._client.initialize()

    async def run(self, node: Address, *command: str | int) -> Any:
        """The reply of one node.

        Raises:
            RedisError, OSError: it cannot be sent, or is refused.
        """
        host, port = node
        with _translating():
            return await self._client.execute_command(
                *command, target_nodes=self._client.get_node(host, port)
            )

    async def owner(self, key: str, deadline: float) -> Address:
        """The primary of a key, by the topology as it is known.

        Raises:
            TimeoutError: it is not known by the deadline (the loop's clock, in seconds).
            RedisError, OSError: no node answers, or no primary has the slot.
        """
        with _translating():
            if not self._client.nodes_manager.slots_cache:
                async with asyncio.timeout_at(deadline):
                    await self._client.initialize()
            owner = self.known_owner(key)
        if owner is None:
            raise errors.ConnectionError("the slot has no primary")
        return owner

    def known_owner(self, key: str) -> Address | None:
        """The same without a question to the nodes; None where the slot has no primary."""
        node = self._client.get_node_from_key(key)
        return None if node is None else (node.host, int(node.port))

    async def learn(self, *, failed: Address | None = None) -> None:
        """Ask the nodes again; the one that failed comes last.

        Raises:
            RedisError, OSError: no node answers.
        """
        with _translating():
            if failed is None:
                await self._client.nodes_manager.initialize()
            else:
                host, port = failed
                await self._client.nodes_manager.initialize(last_failed_node_name=f"{host}:{port}")
