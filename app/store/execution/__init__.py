"""Sends commands and reads replies, for every request: over a shared connection to a server or each primary.

What a command means belongs one level up. The driver follows Sentinel and a Cluster's topology; ``memory://``
has no connections and goes through the driver's pool.
"""

from __future__ import annotations

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from app.store.execution.cluster import Cluster
from app.store.execution.executors import Executor, Pooled, SingleServer
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address, SignOn

__all__ = ["Command", "Executor", "executor_for"]


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
    pool = client.connection_pool
    options = pool.connection_kwargs

    async def address() -> Address:
        if isinstance(pool, SentinelConnectionPool):
            primary: Address = await pool.get_master_address()  # type: ignore[no-untyped-call]  # redis-py's gap
            return primary
        return options["host"], options["port"]

    return SingleServer(address, SignOn(options))
