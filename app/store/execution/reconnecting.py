"""Opens a connection when one is wanted, signs on, and opens another when it was lost."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.utils import format_error_message

from app.store.execution.multiplexed import Command, MultiplexedConnection, packed

Address = tuple[str, int]
FindAddress = Callable[[], Awaitable[Address]]

# After 30 s of silence, three probes 5 s apart. Not every system has all three options.
_KEEPALIVE: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)


class SignOn:
    """How each connection begins: TLS or not, then one round trip for user, name and database.

    Args:
        options: the connection options of the driver's client.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        username, password = options.get("username"), options.get("password")
        user = ("AUTH", username or "default", password or "") if username or password else ()
        self.commands: list[Command] = [("HELLO", 3, *user, "SETNAME", options["client_name"])]
        if options.get("db"):
            self.commands.append(("SELECT", options["db"]))
        self._encrypted = "ssl_ca_certs" in options
        self._ca_file: str | None = options.get("ssl_ca_certs")
        self._tls: ssl.SSLContext | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context; None for a connection in clear.

        Raises:
            OSError: the CA file cannot be read.
        """
        if self._encrypted and self._tls is None:
            context = ssl.create_default_context()
            if self._ca_file is not None:
                context.load_verify_locations(cafile=self._ca_file)
            self._tls = context
        return self._tls


class ReconnectingConnection:
    """One connection for as many commands as come, opened anew after it was lost.

    Args:
        find: where to connect, asked each time.
    """

    def __init__(self, find: FindAddress, sign_on: SignOn) -> None:
        # None before the first connection. It may have been closed since.
        self.current: MultiplexedConnection | None = None
        self._find = find
        self._sign_on = sign_on
        self._connecting = asyncio.Lock()

    async def connect(self, deadline: float) -> MultiplexedConnection:
        """Return the open connection, or a new one.

        Raises:
            TimeoutError: there is none by the deadline (the loop's clock, in seconds).
            RedisError, OSError: none can be opened, or the server refuses the user.
        """
        async with asyncio.timeout_at(deadline), self._connecting:
            if self.current is None or self.current.closed:
                self.current = await _open(await self._find(), self._sign_on, deadline)
            return self.current

    def close(self) -> None:
        """End the connection. The next ``connect`` opens another."""
        if self.current is not None:
            self.current.close()


async def _open(address: Address, sign_on: SignOn, deadline: float) -> MultiplexedConnection:
    host, port = address
    try:
        transport, connection = await asyncio.get_running_loop().create_connection(
            MultiplexedConnection, host, port, ssl=sign_on.tls()
        )
    except TimeoutError:
        raise
    except (OSError, ValueError) as error:
        raise RedisConnectionError(format_error_message(f"{host}:{port}", error)) from error
    try:
        opened = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
        commands = sign_on.commands
        for reply in await connection.send(packed(commands), len(commands), deadline=deadline):
            if isinstance(reply, Exception):
                raise reply
    except BaseException:
        connection.close()
        raise
    return connection
