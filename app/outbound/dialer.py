"""Makes connections: name resolution, several addresses (RFC 8305), a proxy's tunnel, TLS.

Only addresses that ``egress.guard`` allows are dialled. It is asked about the very addresses that go to the
socket, at each dial, so a name that changes between two look-ups gains nothing.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Callable
from typing import Final, Literal, TypeVar

import aiohappyeyeballs

from app.outbound.addresses import AddressRefused, Guard
from app.outbound.egress import Egress, Proxy
from app.outbound.http1 import MAX_HEAD_BYTES, Origin

# How long a resolved name is used, in seconds; getaddrinfo does not tell its lifetime.
NAMES_SECONDS: Final = 60.0
# RFC 8305, section 5: seconds of head start for each address before the next one is tried as well.
_HEAD_START: Final = 0.25
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})(?: [^\r\n]*)?\r\n")

# ``address``: the guard refuses it; ``proxy``: it cannot be reached, or opens no tunnel; ``credentials``: it
# wants others (407).
Stage = Literal["name", "address", "connect", "proxy", "credentials", "tls"]
_Addresses = list[aiohappyeyeballs.AddrInfoType]
_Key = tuple[str, int]
P = TypeVar("P", bound=asyncio.Protocol)


class DialFailed(OSError):
    """No connection was made. ``stage`` is the one that failed; the message is a clause without secrets."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Final = stage


def _unwatched(stage: Stage) -> None:
    """For callers that do not watch the stages."""


class Dialer:
    """Make it inside the running loop: it reads the certificates at once.

    Raises:
        BadFile: a file of ``egress.certificates`` cannot be used.
    """

    def __init__(self, egress: Egress) -> None:
        self._loop = asyncio.get_running_loop()
        self._egress = egress
        self._certificates = egress.certificates
        # So that a bad file fails here, and no dial has to read one.
        self._certificates.trust_and_show()
        self._names: dict[_Key, tuple[float, _Addresses]] = {}
        self._asking: dict[_Key, asyncio.Task[_Addresses]] = {}

    async def dial(
        self, origin: Origin, protocol: Callable[[], P], *, entering: Callable[[Stage], None] = _unwatched
    ) -> P:
        """Connect to the server, through the proxy where there is one, with TLS where the scheme wants it.

        ``entering`` is called with each stage as it begins.

        Raises:
            DialFailed: says at which stage, and why.
        """
        proxy = self._egress.proxy_for(origin)
        if proxy is not None:
            return await self._through(proxy, origin, protocol, entering)
        sock = await self._connect((origin.host, origin.port), self._egress.guard, entering)
        tls = self._certificates.trust_and_show()
        return (await self._over(sock, origin, tls, protocol, entering))[1]

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _over(
        self,
        sock: socket.socket,
        origin: Origin,
        tls: ssl.SSLContext,
        protocol: Callable[[], P],
        entering: Callable[[Stage], None],
    ) -> tuple[asyncio.Transport, P]:
        """A transport over a connected socket, after the TLS handshake if the origin has TLS."""
        if origin.secure:
            entering("tls")
        context, name = (tls, origin.host) if origin.secure else (None, None)
        try:
            made = await self._loop.create_connection(protocol, sock=sock, ssl=context, server_hostname=name)
        except (OSError, EOFError) as error:
            raise DialFailed("tls", _tls_reason(error)) from error
        return made

    # --- a proxy -----------------------------------------------------------------------------

    async def _through(
        self, proxy: Proxy, origin: Origin, protocol: Callable[[], P], entering: Callable[[Stage], None]
    ) -> P:
        guard = self._egress.guard
        try:
            guard.check_literal(origin.host)
        except AddressRefused as refused:
            raise DialFailed("address", refused.reason) from refused
        entering("proxy")
        try:
            at = proxy.origin.host, proxy.origin.port
            sock = await self._connect(at, guard.for_proxies, _unwatched)
            # A proxy is shown no certificate of ours.
            tls = self._certificates.trust()
            transport, tunnel = await self._over(sock, proxy.origin, tls, _Tunnel, _unwatched)
        except DialFailed as failure:
            raise DialFailed("proxy", f"the proxy {proxy} cannot be reached: {failure}") from failure
        try:
            transport.write(proxy.connect_request(origin))
            _check(proxy, await tunnel.answer)
            made = protocol()
            if origin.secure:
                entering("tls")
                transport = await self._upgrade(transport, made, origin)
            else:
                transport.set_protocol(made)
            made.connection_made(transport)
        except BaseException:
            transport.abort()
            raise
        return made

    async def _upgrade(
        self, transport: asyncio.Transport, made: asyncio.Protocol, origin: Origin
    ) -> asyncio.Transport:
        try:
            tls = self._certificates.trust_and_show()
            secured = await self._loop.start_tls(transport, made, tls, server_hostname=origin.host)
        except (OSError, EOFError) as error:
            raise DialFailed("tls", _tls_reason(error)) from error
        if secured is None:
            raise DialFailed("tls", "the connection ended within the TLS handshake")
        return secured

    # --- names and addresses -----------------------------------------------------------------

    async def _connect(self, key: _Key, guard: Guard, entering: Callable[[Stage], None]) -> socket.socket:
        entering("name")
        try:
            found = await self._addresses(key)
        except OSError as error:
            raise DialFailed("name", "the name is not known here") from error
        addresses = _allowed(found, guard)
        entering("connect")
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_HEAD_START, interleave=1, loop=self._loop
            )
        except (OSError, RuntimeError) as error:
            # The provider may have moved: the next connection asks for the name again.
            self._names.pop(key, None)
            raise DialFailed("connect", _connect_reason(error)) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _addresses(self, key: _Key) -> _Addresses:
        until, addresses = self._names.get(key, (0.0, []))
        if self._loop.time() < until:
            # Each connection begins with another address, as a name server would arrange it.
            addresses.append(addresses.pop(0))
            return addresses.copy()
        # Requests that come meanwhile wait for the same answer, and no caller's cancellation ends it.
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = self._loop.create_task(self._ask(*key))
            task.add_done_callback(lambda done: self._asked(key, done))
        return (await asyncio.shield(task)).copy()

    async def _ask(self, host: str, port: int) -> _Addresses:
        # A literal address is used even where this machine has no address of that family.
        flags = 0 if ":" in host else socket.AI_ADDRCONFIG
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        except UnicodeError as error:
            raise OSError("this is no name of a host") from error
        return [(family, kind, number, "", address) for family, kind, number, _, address in found]

    def _asked(self, key: _Key, done: asyncio.Task[_Addresses]) -> None:
        del self._asking[key]
        if not done.cancelled() and done.exception() is None:
            self._names[key] = (self._loop.time() + NAMES_SECONDS, done.result())


def _allowed(found: _Addresses, guard: Guard) -> _Addresses:
    """Those that may be dialled. Raises ``DialFailed`` where there is none."""
    refusals = [guard.refusal(str(address[0])) for _, _, _, _, address in found]
    allowed = [info for info, refusal in zip(found, refusals, strict=True) if refusal is None]
    if not allowed:
        raise DialFailed("address", next(filter(None, refusals), "it has no address"))
    return allowed


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT: ``answer`` becomes its bytes, empty where none came."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if b"\r\n\r\n" in self._read or len(self._read) > MAX_HEAD_BYTES:
            self._finish(self._read)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(b"")

    def _finish(self, answer: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def _check(proxy: Proxy, answer: bytes) -> None:
    """Raise ``DialFailed`` unless the proxy's answer opens the tunnel."""
    if not answer:
        raise DialFailed("proxy", f"the proxy {proxy} closed the connection instead of opening a tunnel")
    status = _STATUS_LINE.match(answer)
    if status is None:
        raise DialFailed("proxy", f"what listens at {proxy} does not answer as an HTTP proxy")
    if status[1] == b"407":
        wants = "refused the user or the password" if proxy.authorization else "wants a user and a password"
        raise DialFailed("credentials", f"the proxy {proxy} {wants} (407)")
    if not status[1].startswith(b"2"):
        raise DialFailed("proxy", f"the proxy {proxy} opens no tunnel (status {int(status[1])})")
    if not answer.endswith(b"\r\n\r\n") or answer.count(b"\r\n\r\n") != 1:
        # Neither TLS nor HTTP lets a server speak first.
        raise DialFailed("proxy", f"the proxy {proxy} sent more than its answer")


def _connect_reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "nothing listens on that port"
    return f"no route, or a firewall says no ({type(error).__name__})"


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message or 'unknown reason'}"
    if not isinstance(error, ssl.SSLError) or "ALERT" in (error.reason or ""):
        return "it ended the TLS handshake, perhaps for want of a client certificate"
    return "what listens there does not speak TLS"
