"""Looks at a store for people: which server it is, how it is set up, and why it refuses.

Not on the request path. Every failure is a ``StoreFault``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.store import keys
from app.store.address import StoreAddress
from app.store.execution import Acknowledgement, acknowledged_for
from app.store.execution.driver import Client, connect
from app.store.execution.topology import name_of
from app.store.faults import DRIVER_ERRORS, fault_of

_CONNECTIONS: Final = 16
_PROBE_LIFE_MS: Final = 5_000
_MORE_REPLICAS: Final = 64
# Enough to hit each primary of a large Cluster, however unevenly the slots are spread.
_KEYS_TRIED: Final = 4096


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
        self._seconds = connect_seconds

    @property
    def client(self) -> Client:
        """The way to the store, for the doctor's ``StoreConnection``."""
        return self._client

    async def ping(self) -> float:
        """One round trip, in seconds; the first one includes connecting."""
        started = time.perf_counter()
        await self._run("PING")
        return time.perf_counter() - started

    async def write(self) -> None:
        """Write what the service's health check writes."""
        try:
            await self._client.driver.run("SET", keys.lease("doctor"), "1", "PX", _PROBE_LIFE_MS)
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None

    async def facts(self) -> list[NodeFacts]:
        """``INFO`` of the server, or of every primary of a Cluster."""
        if not self._client.clustered:
            return [NodeFacts("", await self._run("INFO"))]
        try:
            topology = self._client.driver.topology()
            await topology.begin()
            return [NodeFacts(name_of(node), await topology.run(node, "INFO")) for node in topology.primaries]
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None

    async def replicas(self, *, seconds: float) -> dict[str, int]:
        """How many replicas acknowledge a write within ``seconds``, by its primary's name ("" for one)."""
        # More than any primary has, so that all of them are counted.
        writes = acknowledged_for(self._client, Acknowledgement(_MORE_REPLICAS, seconds))

        async def count(key: str) -> int:
            command = ("SET", key, "1", "PX", _PROBE_LIFE_MS)
            (reply,), replicas = await writes.run(key, [command], timeout=self._seconds)
            if isinstance(reply, Exception):
                raise reply
            return replicas

        try:
            names = await self._a_key_each()
            counts = await asyncio.gather(*(count(key) for key in names.values()))
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None
        finally:
            await writes.close()
        return dict(zip(names, counts, strict=True))

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
            await self._client.close()
        except DRIVER_ERRORS:
            # It was never connected, or it is gone already.
            return

    async def _a_key_each(self) -> dict[str, str]:
        """A key of ours on each primary, by the primary's name."""
        if not self._client.clustered:
            return {"": keys.lease("doctor")}
        topology = self._client.driver.topology()
        await topology.begin()
        missing, found = {*topology.primaries}, dict[str, str]()
        for number in range(_KEYS_TRIED):
            key = keys.lease(f"doctor-{number}")
            node = topology.known_owner(key)
            if node in missing:
                missing.remove(node)
                found[name_of(node)] = key
        return found

    async def _run(self, *command: str) -> Any:
        try:
            return await self._client.driver.run(*command, anywhere=True)
        except DRIVER_ERRORS as error:
            raise fault_of(error) from None
