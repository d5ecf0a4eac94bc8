"""Sends commands and reads replies, for every request: over a shared connection to a server or each primary.

What a command means belongs one level up. Sentinels and the nodes of a Cluster are asked here where the data
is now; ``memory://`` has no connections and goes through the driver's pool.
"""

from __future__ import annotations

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from app.store.execution.acknowledged import AcknowledgedCluster, AcknowledgedServer, AcknowledgedWrites
from app.store.execution.cluster import Cluster
from app.store.execution.executors import Executor, Pooled, SingleServer
from app.store.execution.group_commit import Acknowledgement, ReplicasBehind, Written
from app.store.execution.guarded import NODE_ERRORS, Guarded
from app.store.execution.health import PRIMARY, Health
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address, FindAddress, SignOn
from app.store.execution.sentinel import SentinelPrimary

__all__ = [
    "NODE_ERRORS",
    "PRIMARY",
    "AcknowledgedWrites",
    "Acknowledgement",
    "Command",
    "Executor",
    "Guarded",
    "Health",
    "ReplicasBehind",
    "Written",
    "acknowledged_for",
    "executor_for",
]


def executor_for(
    client: redis.Redis | RedisCluster,
    *,
    max_connections: int,
    health: Health | None = None,
    silence: float = 0.8,
) -> Executor:
    """The fastest way to run commands at this client's store.

    Args:
        max_connections: how many commands may go through the driver's pool at once.
        health: is told which nodes are down.
        silence: seconds after which a server that owes a reply and sends nothing counts as silent.
    """
    health = health or Health()
    pooled = Pooled(client, max_connections=max_connections)
    if isinstance(client, RedisCluster):
        seeds = [(node.host, int(node.port)) for node in client.startup_nodes]
        sign_on = SignOn(client.connection_kwargs)
        return Cluster(seeds, sign_on, otherwise=pooled, health=health, silence=silence)
    # ``is``, since fakeredis is a subclass whose connections are queues.
    if type(client) is not redis.Redis:
        return pooled
    return SingleServer(_finder(client), _sign_on(client), health=health, silence=silence)


def acknowledged_for(client: redis.Redis | RedisCluster, wanted: Acknowledgement) -> AcknowledgedWrites:
    """The way to run commands at this client's store whose writes replicas must have.

    Raises:
        ValueError: the store is ``memory://``, which has no replicas.
    """
    if isinstance(client, RedisCluster):
        return AcknowledgedCluster(client, SignOn(client.connection_kwargs), wanted)
    if type(client) is not redis.Redis:
        raise ValueError("memory:// has no replicas that a write could wait for")
    return AcknowledgedServer(_finder(client), _sign_on(client), wanted)


def _finder(client: redis.Redis) -> FindAddress:
    """What asks where the client's server is, or the primary that Sentinels know."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        known = [sentinel.get_connection_kwargs() for sentinel in pool.sentinel_manager.sentinels]
        sentinels = [(options["host"], int(options["port"])) for options in known]
        return SentinelPrimary(sentinels, pool.service_name).find
    address: Address = (pool.connection_kwargs["host"], pool.connection_kwargs["port"])

    async def find() -> Address:
        return address

    return find


def _sign_on(client: redis.Redis) -> SignOn:
    pool = client.connection_pool
    return SignOn(pool.connection_kwargs, primary=isinstance(pool, SentinelConnectionPool))
