"""Sends commands to the store and reads their replies: the part of the driver that every request pays for.

The driver connects, signs on, speaks TLS and follows Sentinel and a Cluster's topology; what goes over its
connections goes by here. On one server, Sentinel's primary included, all requests share a connection, in a
Cluster one to each primary. ``memory://`` has no connections and goes the driver's own way.
"""

from __future__ import annotations

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster

from app.store.execution.base import Command, Executor
from app.store.execution.clustered import Clustered
from app.store.execution.shared import Shared
from app.store.execution.through import Through

__all__ = ["Command", "Executor", "executor_for"]


def executor_for(client: redis.Redis | RedisCluster, *, max_connections: int) -> Executor:
    """The quickest way to run commands with this client.

    Args:
        max_connections: commands at once that go the driver's own way.
    """
    if isinstance(client, RedisCluster):
        return Clustered(client, otherwise=Through(client, max_connections=max_connections))
    # ``is``, since fakeredis is a subclass whose connections are queues.
    if type(client) is redis.Redis:
        return Shared(client.connection_pool)
    return Through(client, max_connections=max_connections)
