"""Sends commands and reads replies, for every request: over a shared connection to a server or each primary.

What a command means belongs one level up. Sentinels and the nodes of a Cluster are asked here where the data
is now; ``memory://`` has no connections and goes through the driver's pool.
"""

from __future__ import annotations

from app.store.address import StoreAddress
from app.store.execution.acknowledged import AcknowledgedCluster, AcknowledgedServer, AcknowledgedWrites
from app.store.execution.cluster import Cluster
from app.store.execution.driver import Client, Detour
from app.store.execution.executors import Executor, SingleServer
from app.store.execution.group_commit import Acknowledgement, ReplicasBehind, Written
from app.store.execution.guarded import NODE_ERRORS, Guarded
from app.store.execution.health import PRIMARY, Health
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import Address, FindAddress
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
    client: Client, *, max_connections: int, health: Health | None = None, silence: float = 0.8
) -> Executor:
    """The fastest way to run commands at this client's store.

    Args:
        max_connections: how many commands may go through the driver's pool at once.
        health: is told which nodes are down.
        silence: seconds after which a server that owes a reply and sends nothing counts as silent.
    """
    health, address = health or Health(), client.address
    if address.kind == "memory":
        return client.driver.pooled(max_connections)
    if address.kind == "cluster":
        detour = Detour(client, max_connections=max_connections)
        return Cluster(address.hosts, client.sign_on(), otherwise=detour, health=health, silence=silence)
    return SingleServer(_finder(address), client.sign_on(), health=health, silence=silence)


def acknowledged_for(client: Client, wanted: Acknowledgement) -> AcknowledgedWrites:
    """The way to run commands at this client's store whose writes replicas must have.

    Raises:
        ValueError: the store is ``memory://``, which has no replicas.
    """
    if client.address.kind == "memory":
        raise ValueError("memory:// has no replicas that a write could wait for")
    if client.clustered:
        return AcknowledgedCluster(client.driver.topology(), client.sign_on(), wanted)
    return AcknowledgedServer(_finder(client.address), client.sign_on(), wanted)


def _finder(address: StoreAddress) -> FindAddress:
    """What asks where the store's server is, or the primary that Sentinels know."""
    if address.kind == "sentinel":
        return SentinelPrimary(address.hosts, address.service).find
    server: Address = address.hosts[0]

    async def find() -> Address:
        return server

    return find
