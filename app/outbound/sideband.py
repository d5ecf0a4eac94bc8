"""WebSockets to providers, on aiohttp's client: sidebands, which carry the events of one call, and exchanges.

It leaves by the same way as every request (``app.outbound.egress``), with one limit of aiohttp: through a
proxy, only ``wss`` goes by CONNECT. Nothing queues here: aiohttp stops to read a socket whose events are not
taken, and ``send`` waits while the other end does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp import ClientHandlerType, WSMsgType

from app import __version__
from app.outbound.addresses import AddressRefused, Guard
from app.outbound.egress import Egress
from app.outbound.http1 import Unsendable, target_of
from app.outbound.upstream import NO_HEADERS, NoAnswer, NotAllowed, NotConnected
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.redaction import one_safe_line
from app.telemetry.timings import Timings, Try, TryOutcome

log = structlog.get_logger("cloakroom.outbound")

# A ping after so many silent seconds; half of that later without an answer, the other end counts as gone.
HEARTBEAT_SECONDS: Final = 20.0
# For the other end to answer a close.
CLOSE_SECONDS: Final = 2.0
_LONGEST_REFUSAL: Final = 65_536
# RFC 6455, section 5.5: 125 bytes for the code and the reason.
_LONGEST_REASON: Final = 123

# Close codes (RFC 6455, section 7.4.1, and the IANA registry "WebSocket Close Code Number").
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
NO_CODE: Final = 1005
ABNORMAL: Final = 1006
TOO_BIG: Final = 1009
FAILED: Final = 1011
RESTART: Final = 1012


class AttachRefused(Exception):
    """The provider answered the handshake with something else than a WebSocket."""

    def __init__(self, response: UpstreamResponse) -> None:
        super().__init__(f"status {response.status}")
        self.response = response


@dataclass(frozen=True, slots=True)
class Closed:
    """How a socket ended. ``code`` is 1006 where it broke, 1009 where an event was too big for us."""

    code: int
    reason: str = ""

    @property
    def sendable(self) -> bool:
        """Whether this code may be sent (RFC 6455, section 7.4)."""
        return 1000 <= self.code <= 1003 or 1007 <= self.code <= 1014 or 3000 <= self.code <= 4999


class _Socket(Protocol):
    """What both halves of aiohttp's WebSocket have in common."""

    async def receive(self) -> aiohttp.WSMessage: ...
    async def send_str(self, data: str) -> None: ...
    async def close(self, *, code: int, message: bytes) -> bool: ...


def _nothing() -> None:
    """aiohttp's client ends its connection by itself when a close takes too long."""


class EventSocket:
    """One end of a sideband: aiohttp's WebSocket as a line of events that ends with a ``Closed``.

    Args:
        socket: either half of aiohttp's, open.
        abort: ends its connection at once, for an end that does not take a close.

    """

    def __init__(self, socket: Any, abort: Callable[[], None] = _nothing) -> None:
        self._socket: _Socket = socket
        # Ends the connection though bytes wait in it.
        self.abort: Final = abort

    async def receive(self) -> str | Closed:
        """The next event. After a ``Closed`` there is none. What is not text ends the socket with 1003."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type is WSMsgType.CLOSE:
            return Closed(message.data or NO_CODE, one_safe_line(message.extra or ""))
        if message.type is WSMsgType.BINARY:
            return Closed(UNSUPPORTED, "events are text")
        if message.type is WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
            return Closed(message.data.code, one_safe_line(str(message.data)))
        return Closed(ABNORMAL)

    async def send(self, event: str) -> None:
        """Send one event; returns when there is room for the next one.

        Raises:
            ConnectionError: the other end is gone.
        """
        await self._socket.send_str(event)

    async def close(self, code: int, reason: str) -> bool:
        """Close with this code and reason. Returns False if the other end did not take it in time."""
        message = reason.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close(code=code, message=message)
        except TimeoutError:
            return False
        return True


class SidebandClient:
    """Attaches to calls. Make it inside the running loop.

    Args:
        connect_timeout: seconds for name resolution, TCP, a proxy and TLS together.
        largest: bytes of an event; a larger one ends its socket.

    Raises:
        BadFile: a file of ``egress.certificates`` cannot be used.
    """

    def __init__(self, *, connect_timeout: float, largest: int, egress: Egress | None = None) -> None:
        self._egress = egress or Egress()
        self._largest = largest
        self._connect_timeout = connect_timeout
        # So that a bad file fails here, and no handshake has to read one.
        self._egress.certificates.trust_and_show()
        # What is dialled for a proxied socket is the proxy.
        self._direct = self._session(self._egress.guard)
        self._proxied = (
            self._session(self._egress.guard.for_proxies) if self._egress.proxies else self._direct
        )

    async def attach(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> EventSocket:
        """Open the sideband within ``timeout`` seconds. ``timings`` gets the try.

        Raises:
            NotConnected, NoAnswer, AttachRefused: as ``open``.
        """
        started, status = time.perf_counter(), None
        outcome: TryOutcome = "cut_off"
        try:
            socket = await self.open(request, timeout=timeout)
        except AttachRefused as refused:
            outcome, status = "answered", refused.response.status
            raise
        except NotConnected:
            outcome = "unreachable"
            raise
        except NoAnswer as failure:
            outcome = "timeout" if failure.timed_out else "cut_off"
            raise
        else:
            outcome, status = "answered", 101
            return socket
        finally:
            timings.tries.append(Try(timings.deployment, time.perf_counter() - started, outcome, status))

    async def open(
        self, request: UpstreamRequest, *, timeout: float, more: Mapping[str, str] = NO_HEADERS
    ) -> EventSocket:
        """Make the handshake within ``timeout`` seconds, with ``more`` headers. Its body is not sent.

        Redirects are not followed: the credential would go along.

        Raises:
            NotConnected: no connection was made; NotAllowed: its address may not be dialled.
            NoAnswer: none came in time, or it was no WebSocket's.
            AttachRefused: the provider answered with another status.
        """
        try:
            async with asyncio.timeout(timeout):
                return EventSocket(await self._connect(request, more))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, Unsendable) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
            if isinstance(cause, AddressRefused):
                raise _not_allowed(request, cause) from error
            raise NotConnected from error
        except AddressRefused as refused:
            raise _not_allowed(request, refused) from refused
        except TimeoutError as error:
            raise NoAnswer(timed_out=True) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise NoAnswer(timed_out=False) from error

    async def close(self) -> None:
        """End every socket."""
        await self._direct.close()
        await self._proxied.close()

    def _session(self, guard: Guard) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # How many there are is for the callers to bound.
            connector=aiohttp.TCPConnector(limit=0, socket_factory=guard.open_socket),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_upgraded,),
        )

    async def _connect(
        self, request: UpstreamRequest, more: Mapping[str, str]
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        # The egress knows http and https.
        origin = target_of(f"http{request.url.removeprefix('ws')}").origin
        proxy = self._egress.proxy_for(origin)
        if proxy is not None:
            self._egress.guard.check_literal(origin.host)
        authorization = proxy.authorization if proxy is not None else None
        return await (self._direct if proxy is None else self._proxied).ws_connect(
            request.url,
            headers={"User-Agent": f"cloakroom/{__version__}", **request.headers, **more},
            # Not the connector's: the files may be read anew.
            ssl=self._egress.certificates.trust_and_show(),
            proxy=_bare_url(proxy.url.reveal()) if proxy is not None else None,
            proxy_headers=(
                {"Proxy-Authorization": authorization.reveal()} if authorization is not None else None
            ),
            heartbeat=HEARTBEAT_SECONDS,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            max_msg_size=self._largest,
        )


def _not_allowed(request: UpstreamRequest, refused: AddressRefused) -> NotAllowed:
    log.warning("address_refused", host=urlsplit(request.url).hostname, reason=refused.reason)
    return NotAllowed(refused.reason)


def _bare_url(url: str) -> str:
    """A proxy's URL without its credentials, which have a header."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def _upgraded(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Let a 101 pass; make anything else an exception before aiohttp drops its body or follows it."""
    response = await handler(request)
    if response.status == 101:
        return response
    body = b""
    # A body that breaks off is no readable error, and says so by that.
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        while len(body) < _LONGEST_REFUSAL and (chunk := await response.content.readany()):
            body += chunk
    response.close()
    raise AttachRefused(UpstreamResponse(response.status, response.headers, body))
