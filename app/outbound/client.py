"""The only outbound HTTP client, and what its failures prove.

A relay must never be sent twice once it may have arrived, so this client tells two failures apart:
``NotConnected`` (nothing was written to any connection, the provider certainly saw nothing) and ``NoAnswer``
(bytes may have left). It sends nothing twice by itself, not even where a kept connection turns out to have
ended. It follows no redirect, keeps no cookie, which would tie callers together, and trusts no proxy
variable of the environment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from app.outbound.dialer import Dialer
from app.outbound.http1 import Connection, Lost
from app.outbound.http1_request import Origin, Unsendable, target_of, written
from app.outbound.pool import CONNECTIONS, KEEPALIVE_SECONDS, Pool
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings, Try, TryOutcome

_CONNECT_SHARE: Final = 0.9
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class NotConnected(Exception):
    """Nothing was sent: no connection was made, or what was to be sent is no request."""


class NoAnswer(Exception):
    """The request may have arrived, but no usable answer came back. ``timed_out``: none in time."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "connection lost or answer malformed")
        self.timed_out = timed_out


class UpstreamClient:
    """Sends one request, once. Retrying is the use case's decision. Make it inside the running loop.

    Args:
        connect_timeout: seconds for a free place in the pool, name resolution, TCP and TLS together.
        connections: at a time; whoever comes beyond waits.
        keepalive: seconds that an idle connection is kept for.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        connections: int = CONNECTIONS,
        keepalive: float = KEEPALIVE_SECONDS,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(Dialer(), limit=connections, keepalive=keepalive)

    async def close(self) -> None:
        """End every connection; requests under way fail."""
        await self._pool.close()

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        """Send the request and read the whole answer within ``timeout`` seconds.

        ``timings`` gets the try, and its trace, if it has one, goes along to the provider.

        Raises:
            NotConnected: nothing was sent.
            NoAnswer: it was sent, and then no whole, well-formed answer of a sane size came in time.
        """
        trace, started = timings.trace, time.perf_counter()
        span = trace.ask(timings.deployment) if trace is not None else None
        outcome: TryOutcome = "cut_off"
        status: int | None = None
        try:
            response = await self._send(
                "POST", request, timeout=timeout, more=span.headers if span is not None else _NO_HEADERS
            )
        except NotConnected:
            outcome = "unreachable"
            raise
        except NoAnswer as failure:
            outcome = "timeout" if failure.timed_out else "cut_off"
            raise
        else:
            outcome, status = "answered", response.status
            return response
        finally:
            seconds = time.perf_counter() - started
            timings.tries.append(Try(timings.deployment, seconds, outcome, status))
            if span is not None:
                span.end(outcome, status)

    async def get(self, url: str, *, timeout: float) -> UpstreamResponse:
        """Ask without a credential and without a body, which does nothing anywhere; for ``cloakroom doctor``.

        Raises:
            NotConnected, NoAnswer: as ``post``.
        """
        return await self._send("GET", UpstreamRequest(url=url, headers={}, body=b""), timeout=timeout)

    async def _send(
        self,
        method: str,
        request: UpstreamRequest,
        *,
        timeout: float,
        more: Mapping[str, str] = _NO_HEADERS,
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
        except TimeoutError as error:
            raise NoAnswer(timed_out=True) from error
        except Lost as error:
            raise NoAnswer(timed_out=False) from error

    async def _open(self, origin: Origin, *, timeout: float) -> Connection:
        # Less than the whole time: what is left must do for the answer, or nothing would be sent in vain.
        try:
            async with asyncio.timeout(min(self._connect_timeout, timeout * _CONNECT_SHARE)):
                return await self._pool.open(origin)
        except (OSError, TimeoutError) as error:
            raise NotConnected from error
