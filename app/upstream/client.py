"""The only outbound HTTP session, and what its failures prove.

A relay must never be sent twice once it may have arrived, so this client tells two failures apart:
``NotConnected`` (no connection was made, the provider certainly saw nothing) and ``NoAnswer`` (bytes may
have left). It follows no redirect, since aiohttp forwards Azure's ``api-key`` header across origins; it
keeps no cookie, which would tie callers together; and it trusts no proxy variable of the environment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import aiohttp

from app import __version__
from app.timings import Timings, Try, TryOutcome
from app.upstream.base import UpstreamRequest, UpstreamResponse

# An SDP answer is 2 to 3 kB and a minted session under 10 kB; this is the cap for either.
MAX_ANSWER_BYTES: Final = 262_144
# Shorter than the idle timeout of the usual front ends (60 s and more), so that a kept connection is
# seldom one that the provider is just closing.
KEEPALIVE_SECONDS: Final = 20.0
_CONNECTIONS: Final = 1024
_CONNECT_SHARE: Final = 0.9
_NO_HEADERS: Final[Mapping[str, str]] = {}


class NotConnected(Exception):
    """No connection was made: the provider saw nothing of the request."""


class NoAnswer(Exception):
    """The request may have arrived, but no usable answer came back. ``timed_out``: none in time."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "connection lost or answer malformed")
        self.timed_out = timed_out


class UpstreamClient:
    """Sends one request, once. Retrying is the use case's decision.

    Args:
        session: from ``new_session``.
        connect_timeout: seconds for name resolution, TCP and TLS together.
    """

    def __init__(self, session: aiohttp.ClientSession, *, connect_timeout: float) -> None:
        self._session = session
        self._connect_timeout = connect_timeout

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        """Send the request and read the whole answer within ``timeout`` seconds.

        ``timings`` gets the try, and its trace, if it has one, goes along to the provider.

        Raises:
            NotConnected: the connection was never made.
            NoAnswer: it was, and then no whole, well-formed answer of a sane size came in time.
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
        # Connecting must time out first: the total's end would not tell whether bytes had left.
        connect = min(self._connect_timeout, timeout * _CONNECT_SHARE)
        limits = aiohttp.ClientTimeout(total=timeout, connect=connect)
        try:
            async with self._session.request(
                method,
                request.url,
                data=request.body if method == "POST" else None,
                headers={**request.headers, **more} if more else request.headers,
                allow_redirects=False,
                timeout=limits,
            ) as response:
                body = await _read_capped(response.content)
                return UpstreamResponse(status=response.status, headers=response.headers, body=body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise NotConnected from error
        except TimeoutError as error:
            raise NoAnswer(timed_out=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(timed_out=False) from error


def new_session() -> aiohttp.ClientSession:
    """Make the process's one outbound session; call it inside the running loop, and close it at the end."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ttl_dns_cache=60,
            enable_cleanup_closed=False,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Compressing 2 kB costs more than it saves, and an unasked-for encoding has a smaller surface.
        headers={"User-Agent": f"cloakroom/{__version__}", "Accept-Encoding": "identity"},
        trust_env=False,
        raise_for_status=False,
    )


async def _read_capped(content: aiohttp.StreamReader) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await content.readany():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise NoAnswer(timed_out=False)
        chunks.append(chunk)
    return b"".join(chunks)


async def close_session(session: aiohttp.ClientSession) -> None:
    """Close the session and give its transports one turn of the loop to end."""
    await session.close()
    await asyncio.sleep(0)
