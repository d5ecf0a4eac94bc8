"""Makes connections: name resolution, several addresses (RFC 8305), TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

import aiohappyeyeballs

from app.outbound.http1_request import Origin

# Seconds that an answer of the name service is used for; getaddrinfo does not tell its own lifetime.
NAMES_SECONDS: Final = 60.0
# RFC 8305, section 5: seconds of head start for each address before the next one is tried as well.
_HEAD_START: Final = 0.25

_Addresses = list[aiohappyeyeballs.AddrInfoType]
_Key = tuple[str, int]
P = TypeVar("P", bound=asyncio.Protocol)


class Dialer:
    """Make it inside the running loop: it reads the system's certificate authorities at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Verifies the chain and the host's name; SSL_CERT_FILE and SSL_CERT_DIR are heeded.
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._names: dict[_Key, tuple[float, _Addresses]] = {}
        self._asking: dict[_Key, asyncio.Task[_Addresses]] = {}

    async def dial(self, origin: Origin, protocol: Callable[[], P]) -> P:
        """Connect to one of the host's addresses, with TLS where the scheme wants it.

        Raises:
            OSError: no name, no route, refused, or TLS failed (``ssl.SSLError`` is one).
        """
        sock = await self._connect((origin.host, origin.port))
        _, made = await self._loop.create_connection(
            protocol,
            sock=sock,
            ssl=self._tls if origin.secure else None,
            server_hostname=origin.host if origin.secure else None,
        )
        return made

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, key: _Key) -> socket.socket:
        addresses = await self._addresses(key)
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_HEAD_START, interleave=1, loop=self._loop
            )
        except (OSError, RuntimeError) as error:
            # The provider may have moved: the next connection asks for the name anew.
            self._names.pop(key, None)
            raise OSError("no address of the host takes connections") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _addresses(self, key: _Key) -> _Addresses:
        until, addresses = self._names.get(key, (0.0, []))
        if self._loop.time() < until:
            # Each connection begins with another address, as a name server would have it.
            addresses.append(addresses.pop(0))
            return addresses.copy()
        # Whoever comes meanwhile waits for the same question, which no caller's cancellation ends.
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = self._loop.create_task(self._ask(*key))
            task.add_done_callback(lambda done: self._asked(key, done))
        return (await asyncio.shield(task)).copy()

    async def _ask(self, host: str, port: int) -> _Addresses:
        # A literal stands for itself, whatever addresses this machine has.
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
