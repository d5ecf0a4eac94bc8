"""Looks at a store for people: which server it is, how it is set up, and why it refuses.

Not on the request path. Every failure is a ``StoreFault``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio.cluster import RedisCluster

from app.store import keys
from app.store.address import StoreAddress
from app.store.driver import Client, close, connect
from app.store.faults import DRIVER_ERRORS, fault_of

_CONNECTIONS: Final = 16
_PROBE_LIFE_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One server that takes writes: its name in a Cluster ("" elsewhere), and what ``INFO`` says of it."""

    name: str
    info: Mapping[str, Any]


class StoreInspector:
    """Asks a store about itself. The caller sets the deadlines.

    Args:
        address: from ``parse_address``.
        connect_seconds: until an attempt to connect counts as failed.

    Raises:
        ValueError: as ``driver.connect``.
    """

    def __init__(self, address: StoreAddress, *, connect_seconds: float) -> None:
        self._client = connect(
            address, replica="doctor", timeout=connect_seconds, max_connections=_CONNECTIONS
        )
        self._is_cluster = address.kind == "cluster"

    @property
    def client(self) -> Client:
        """The driver's client, for the doctor's ``StoreConnection``."""
        return self._client

    async def ping(self) -> float:
        """One round trip, in seconds; the first one includes connecting."""
        started = time.perf_counter()
        await self._run("PING")
        return time.perf_counter() - started

    async def write(self) -> None:
        """Write what the service's health check writes."""
        try:
            await self._client.set(keys.lease("doctor"), "1", px=_PROBE_LIFE_MS)
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None

    async def facts(self) -> list[NodeFacts]:
        """``INFO`` of the server, or of every primary of a Cluster."""
        if not isinstance(self._client, RedisCluster):
            return [NodeFacts("", await self._run("INFO"))]
        try:
            await self._client.initialize()
            nodes = self._client.get_primaries()
            return [
                NodeFacts(node.name, await self._client.execute_command("INFO", target_nodes=node))
                for node in nodes
            ]
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None

    async def cluster_info(self) -> Mapping[str, str]:
        """``CLUSTER INFO`` as one node sees it."""
        found: Mapping[str, str] = await self._run("CLUSTER INFO")
        return found

    async def config(self, name: str) -> str:
        """One setting of the server; hosted services often refuse this."""
        found: Mapping[str, str] = await self._run("CONFIG GET", name)
        return found.get(name, "")

    async def clock(self) -> float:
        """The server's time in epoch seconds."""
        seconds, micros = await self._run("TIME")
        return int(seconds) + int(micros) / 1e6

    async def user(self) -> str:
        """The name under which the server knows us."""
        return str(await self._run("ACL WHOAMI"))

    async def close(self) -> None:
        """Close every connection."""
        try:
            await close(self._client)
        except DRIVER_ERRORS:
            # It was never connected, or it is gone already.
            return

    async def _run(self, *command: str) -> Any:
        try:
            if isinstance(self._client, RedisCluster):
                await self._client.initialize()
                node = self._client.get_default_node()
                return await self._client.execute_command(*command, target_nodes=node)
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None
