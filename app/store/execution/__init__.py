"""Sends commands and reads replies, for every request: over a shared connection to a server or each primary.

What a command means belongs one level up. The driver follows Sentinel and a Cluster's topology; ``memory://``
has no connections and goes through the driver's pool.
"""

from __future__ import annotations

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from app.store.execution.acknowledged import AcknowledgedCluster, AcknowledgedServer, AcknowledgedWrites
from app.store.execution.cluster import Cluster
from app.store.execution.executors import Executor, Pooled, SingleServer
from app.store.execution.group_commit import Acknowledgement, ReplicasBehind, Written
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address, FindAddress, SignOn

__all__ = [
    "AcknowledgedWrites",
    "Acknowledgement",
    "Command",
    "Executor",
    "ReplicasBehind",
    "Written",
    "acknowledged_for",
    "executor_for",
]


def executor_for(client: redis.Redis | RedisCluster, *, max_connections: int) -> Executor:
    """The fastest way to run commands at this client's store.

    Args:
        max_connections: how many commands may go through the driver's pool at once.
    """
    pooled = Pooled(client, max_connections=max_connections)
    if isinstance(client, RedisCluster):
        return Cluster(client.nodes_manager, SignOn(client.connection_kwargs), otherwise=pooled)
    # ``is``, since fakeredis is a subclass whose connections are queues.
    if type(client) is not redis.Redis:
        return pooled
    return SingleServer(_finder(client), SignOn(client.connection_pool.connection_kwargs))


def acknowledged_for(client: redis.Redis | RedisCluster, wanted: Acknowledgement) -> AcknowledgedWrites:
    """The way to run commands at this client's store whose writes replicas must have.

    Raises:
        ValueError: the store is ``memory://``, which has no replicas.
    """
    if isinstance(client, RedisCluster):
        return AcknowledgedCluster(client, SignOn(client.connection_kwargs), wanted)
    if type(client) is not redis.Redis:
        raise ValueError("memory:// has no replicas that a write could wait for")
    return AcknowledgedServer(_finder(client), SignOn(client.connection_pool.connection_kwargs), wanted)


def _finder(client: redis.Redis) -> FindAddress:
    """What asks where the client's server, or the primary that Sentinel names, is now."""
    pool = client.connection_pool

    async def address() -> Address:
        if isinstance(pool, SentinelConnectionPool):
            primary: Address = await pool.get_master_address()  # type: ignore[no-untyped-call]  # redis-py's gap
            return primary
        return pool.connection_kwargs["host"], pool.connection_kwargs["port"]

    return address
