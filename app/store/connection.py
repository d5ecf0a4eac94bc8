"""The one connection to the store: its timeouts, its breaker, and the edge where driver errors end.

Nothing above ``app.store`` imports redis or sees one of its exceptions: everything that can go wrong
with the store is ``StoreUnavailable``. Once one operation has failed, the store is *known to be down*:
further ones fail at once, without waiting, until the watcher's probe has written to it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis.asyncio as redis
import structlog
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from app.errors import StoreUnavailable
from app.redaction import one_safe_line
from app.store import keys
from app.store.address import StoreAddress, parse_address

log = structlog.get_logger("cloakroom.store")

Client = redis.Redis | RedisCluster

# How often the watcher looks, in seconds: seldom while all is well, often while callers get 503s.
WATCH_UP_SECONDS: Final = 2.0
WATCH_DOWN_SECONDS: Final = 0.25
RETRY_AFTER_SECONDS: Final = 1
# A probe outlives the pause between two probes, and no more.
_PROBE_LIFE_MS: Final = 10_000
_DOWN_MESSAGE: Final = "The token store cannot be reached just now. Try again shortly."


class StoreConnection:
    """Runs store operations under one deadline and keeps track of whether the store is there.

    Args:
        client: the driver's client, from ``connect``.
        replica: this replica's name; the probe's key carries it.
        timeout: deadline of one operation in seconds, retry included.
        shown: where the store is, safe to log.
    """

    def __init__(self, client: Client, *, replica: str, timeout: float, shown: str) -> None:
        self.client = client
        self.shown = shown
        self._timeout = timeout
        self._probe_key = keys.probe(replica)
        self._down = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """False while the store is known to be down."""
        return not self._down

    def require_up(self) -> None:
        """Raise at once while the store is known to be down.

        Raises:
            StoreUnavailable: it is.
        """
        if self._down:
            raise StoreUnavailable(_DOWN_MESSAGE, retry_after=RETRY_AFTER_SECONDS)

    async def run[T](self, operation: Callable[[], Awaitable[T]]) -> T: ...

    async def probe(self) -> bool:
        """Write to the store, which a ping would not do: a full or read-only server is no store."""
        try:
            async with asyncio.timeout(self._timeout):
                await self.client.set(self._probe_key, "1", px=_PROBE_LIFE_MS)
        except _DRIVER_ERRORS as error:
            self._mark_down(error)
        else:
            self._mark_up()
        return self.up
