"""Our own HTTP client, an ``Upstream``: it sends each request once, over a kept connection or a new one.

It sends nothing twice, not even where a kept connection turns out to have ended. It reads no variable of the
environment; a proxy comes from the settings (``app.outbound.egress``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from app.outbound.connection import Connection, Late, Lost
from app.outbound.dialer import Dialer, DialFailed
from app.outbound.egress import Egress
from app.outbound.http1 import Origin, Unsendable, target_of, written
from app.outbound.pool import CONNECTIONS, KEEPALIVE_SECONDS, Pool
from app.outbound.upstream import NO_HEADERS, NoAnswer, NotAllowed, NotConnected, tried
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.outbound")

_CONNECT_SHARE: Final = 0.9


class UpstreamClient:
    """Make it inside the running loop.

    Args:
        connect_timeout: seconds for a free place in the pool, name resolution, TCP, a proxy and TLS together.
        egress: the way out; directly where it is left out.
        connections: at a time; further requests wait.
        keepalive: seconds for which an idle connection is kept.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        egress: Egress | None = None,
        connections: int = CONNECTIONS,
        keepalive: float = KEEPALIVE_SECONDS,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(Dialer(egress or Egress()), limit=connections, keepalive=keepalive)

    async def close(self) -> None:
        """End every connection; requests under way fail."""
        await self._pool.close()

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        """As ``Upstream.post``."""
        return await tried(
            lambda more: self._send(request.method, request, timeout=timeout, more=more),
            timings,
            request.method,
        )

    async def get(self, request: UpstreamRequest, *, timeout: float) -> UpstreamResponse:
        """As ``Upstream.get``."""
        return await self._send("GET", request, timeout=timeout)

    async def _send(
        self,
        method: str,
        request: UpstreamRequest,
        *,
        timeout: float,
        more: Mapping[str, str] = NO_HEADERS,
    ) -> UpstreamResponse:
        until = self._loop.time() + timeout
        try:
            target = target_of(request.url)
            headers = {**request.headers, **more} if more else request.headers
            message = written(method, target, headers, request.body if method == "POST" else None)
        except Unsendable as error:
            raise NotConnected from error
        connection = self._pool.take(target.origin) or await self._open(target.origin, timeout=timeout)
        try:
            return await connection.exchange(message, until=until)
        except Late as error:
            raise NoAnswer(timed_out=True, head=error.head) from error
        except Lost as error:
            raise NoAnswer(timed_out=False, head=error.head) from error

    async def _open(self, origin: Origin, *, timeout: float) -> Connection:
        # Less than the whole time: the rest must be enough for the answer, or the request would be in vain.
        try:
            async with asyncio.timeout(min(self._connect_timeout, timeout * _CONNECT_SHARE)):
                return await self._pool.open(origin)
        except (OSError, TimeoutError) as error:
            if isinstance(error, DialFailed) and error.stage == "address":
                log.warning("address_refused", host=origin.host, reason=str(error))
                raise NotAllowed(str(error)) from error
            if isinstance(error, DialFailed) and error.stage in ("proxy", "credentials"):
                # All deployments fail at once then, and the provider is not to blame.
                log.warning("proxy_failed", reason=str(error))
            raise NotConnected from error
