"""The way to a store: its address, how connections sign on, and redis-py's client where one is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from app.store.address import StoreAddress
from app.store.execution.credentials import StoreCredentials
from app.store.execution.executors import OneNode
from app.store.execution.multiplexed import Command
from app.store.execution.reconnecting import SignOn

if TYPE_CHECKING:
    from app.store.redis_py import Driver, Pooled, Subscription


class Client:
    """The way to one store. ``connect`` makes it."""

    def __init__(self, address: StoreAddress, *, replica: str, timeout: float, max_connections: int) -> None:
        self.address: Final = address
        # Whether keys of different slots may lie on different nodes.
        self.clustered: Final = address.kind == "cluster"
        # What new connections sign on with; None where the store needs no password.
        self.credentials: Final = (
            StoreCredentials(address.username, address.password) if address.password is not None else None
        )
        self._driver: Driver | None = None
        self._timeout = timeout
        self._max_connections = max_connections
        self._sign_on: dict[str, Any] = {"client_name": f"cloakroom-{replica}"}
        if self.credentials is not None:
            self._sign_on["credential_provider"] = self.credentials
        elif address.username is not None:
            self._sign_on["username"] = address.username
        if address.tls:
            self._sign_on["ssl_ca_certs"] = address.tls_ca_file
        if not self.clustered:
            self._sign_on["db"] = address.database

    @property
    def driver(self) -> Driver:
        """redis-py's client, made when it is first asked for."""
        if self._driver is None:
            self._driver = _load()(
                self.address, self._sign_on, timeout=self._timeout, max_connections=self._max_connections
            )
        return self._driver

    def sign_on(self) -> SignOn:
        """How connections of ours begin. A server that is no primary is refused where Sentinels named it."""
        return SignOn(self._sign_on, primary=self.address.kind == "sentinel")

    async def subscription(self) -> Subscription:
        """A pub/sub client, on a separate connection. The caller closes it.

        Raises:
            RedisError, OSError: no node of a Cluster answers.
        """
        await self.load_driver()
        return await self.driver.subscription()

    async def load_driver(self) -> None:
        """Have the driver loaded, while requests go on."""
        if self._driver is None:
            await asyncio.to_thread(_load)

    async def close(self) -> None:
        """Close the connections of the driver's client, if there is one."""
        if self._driver is not None:
            await self._driver.close()


def connect(address: StoreAddress, *, replica: str, timeout: float, max_connections: int) -> Client:
    """Prepare the way to a store; nothing is connected yet.

    Args:
        address: from ``parse_address``.
        replica: shown in the server's ``CLIENT LIST``.
        timeout: seconds until a connection of the driver's that is not made counts as failed.
        max_connections: of the driver's, from this process to one server. Callers must not open more.

    Raises:
        ValueError: ``memory://`` without fakeredis installed.
    """
    made = Client(address, replica=replica, timeout=timeout, max_connections=max_connections)
    if address.kind == "memory":
        # Every command goes to it, and fakeredis may be missing.
        _ = made.driver
    return made


class Detour(OneNode):
    """Runs commands through the driver's pool, and loads the driver for the first ones."""

    notices_silence = False

    def __init__(self, client: Client, *, max_connections: int) -> None:
        self._client = client
        self._most = max_connections

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        await self._client.load_driver()
        return await self._pooled.run(commands, timeout=timeout)

    async def close(self) -> None:
        """End nothing: the connections are the client's."""

    @cached_property
    def _pooled(self) -> Pooled:
        return self._client.driver.pooled(self._most)


def _load() -> type[Driver]:
    # Imported here: redis-py takes 6 MB, 8 % of a replica, and requests go over connections of our own.
    from app.store.redis_py import Driver

    return Driver
