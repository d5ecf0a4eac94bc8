"""The service's own connection to its store, without the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.execution.driver import connect


@asynccontextmanager
async def connected(url: str, replica: str, *, timeout: float) -> AsyncIterator[StoreConnection]:
    """Connect, and watch the store as a replica does. ``timeout`` is the store's, in seconds."""
    client = connect(parse_address(url), replica=replica, timeout=timeout, max_connections=8)
    connection = StoreConnection(client, replica=replica, timeout=timeout)
    connection.start()
    try:
        yield connection
    finally:
        await connection.close()
