"""Opens a connection when one is wanted, signs on, and opens another when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.credentials import StoreCredentials
from app.store.execution.multiplexed import Command, Listener, MultiplexedConnection, packed
from app.store.faults import DRIVER_ERRORS

Address = tuple[str, int]
FindAddress = Callable[[], Awaitable[Address]]

# One try to connect and to sign on. A silent server is asked anew after that: its machine may be another one.
_TRY_SECONDS: Final = 1.0
# While a try takes long, the server is looked for again this often.
_FIND_AGAIN_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.05
# A server that wakes up answers on all connections at once. The old one is better then.
_GRACE_SECONDS: Final = 0.01

# After 30 s of silence, three probes 5 s apart. Not every system has all three options.
_KEEPALIVE: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)


class SignOn:
    """How each connection begins: TLS or not, then one round trip for user, name and database.

    Args:
        options: ``client_name``, and where they are wanted ``credential_provider``, ``username``, ``db`` and
            ``ssl_ca_certs``: the names that the driver has for them.
        primary: whether a server that says that it is a replica is refused.
    """

    def __init__(self, options: Mapping[str, Any], *, primary: bool = False) -> None:
        self._credentials: StoreCredentials | None = options.get("credential_provider")
        self._username: str | None = options.get("username")
        self._name: str = options["client_name"]
        self._database: int | None = options.get("db")
        self._primary = primary
        self._encrypted = "ssl_ca_certs" in options
        self._ca_file: str | None = options.get("ssl_ca_certs")
        self._tls: ssl.SSLContext | None = None

    def commands(self) -> list[Command]:
        """What a connection sends first."""
        user: Command = ()
        if self._credentials is not None:
            user = ("AUTH", *self._credentials.get_credentials())
        elif self._username is not None:
            user = ("AUTH", self._username, "")
        commands: list[Command] = [("HELLO", 3, *user, "SETNAME", self._name)]
        return [*commands, ("SELECT", self._database)] if self._database else commands

    def check(self, replies: Sequence[Any]) -> None:
        """Look at the replies to the commands.

        Raises:
            ConnectionError: the driver's; the server is a replica.
            RedisError: the server refused a command.
        """
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        # A Sentinel that has not heard of the switch yet names the primary of before.
        if self._primary and replies[0].get("role") != "master":
            raise RedisConnectionError("no master found: the server is a replica")

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

    One that falls silent is kept, since the server may only be slow. Another one is opened beside it. Should
    that succeed first, the silent one is ended: its callers may repeat their commands on the new one.

    Args:
        find: where to connect, asked each time, and again while connecting takes long.
        silence: seconds, as for ``MultiplexedConnection``.
        listener: hears when the connection falls silent and when it speaks again. Without one a silent
            connection ends at the first deadline that passes.
    """

    def __init__(
        self,
        find: FindAddress,
        sign_on: SignOn,
        *,
        silence: float = math.inf,
        listener: Listener | None = None,
    ) -> None:
        # None before the first connection. It may have been closed since.
        self.current: MultiplexedConnection | None = None
        self._find = find
        self._sign_on = sign_on
        self._silence = silence
        self._listener = listener
        self._opening: asyncio.Task[MultiplexedConnection] | None = None
        self._replacing: asyncio.Task[None] | None = None

    async def connect(self, deadline: float) -> MultiplexedConnection:
        """Return the open connection, or a new one.

        Raises:
            ConnectionError: the driver's; none can be opened, or there is none by the deadline (the loop's
                clock, in seconds).
            RedisError, OSError: the server refuses the user, or a CA file cannot be read.
        """
        if self.current is not None and not self.current.closed:
            return self.current
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="store-connect")
            self._opening.add_done_callback(forget_failure)
        try:
            async with asyncio.timeout_at(deadline):
                # Shared with other callers, who may have more time.
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise RedisConnectionError("connecting timed out") from None

    def close(self, why: str = "closed") -> None:
        """End the connection. The next ``connect`` opens another."""
        for task in (self._opening, self._replacing):
            if task is not None:
                task.cancel()
        if self.current is not None:
            self.current.close(why)

    def silent(self) -> None:
        """Open another connection in the background."""
        if self._listener is not None:
            self._listener.silent()
        if self._replacing is None or self._replacing.done():
            self._replacing = asyncio.create_task(self._replace(), name="store-replace")

    def heard(self) -> None:
        """Keep the connection after all."""
        if self._replacing is not None:
            self._replacing.cancel()
        if self._listener is not None:
            self._listener.heard()

    async def _open(self) -> MultiplexedConnection:
        """Open a connection. Where the server is found elsewhere in the meantime, open it there.

        Raises:
            TimeoutError, RedisError, OSError: one try has failed.
        """
        end = asyncio.get_running_loop().time() + _TRY_SECONDS
        address = await self._find()
        attempt = asyncio.create_task(_open(address, self._sign_on, end))
        try:
            while not (await asyncio.wait([attempt], timeout=_FIND_AGAIN_SECONDS))[0]:
                now_at = address
                with contextlib.suppress(*DRIVER_ERRORS):
                    now_at = await self._find()
                if now_at != address:
                    _drop(attempt)
                    address, attempt = now_at, asyncio.create_task(_open(now_at, self._sign_on, end))
            opened = attempt.result()
            if self.current is not None and self.current.silent and not self.current.closed:
                await asyncio.sleep(_GRACE_SECONDS)
        except BaseException:
            _drop(attempt)
            raise
        return self._adopt(opened)

    def _adopt(self, opened: MultiplexedConnection) -> MultiplexedConnection:
        before = self.current
        if before is not None and not before.closed and not before.silent:
            # It spoke again while the other one was opened.
            opened.close()
            return before
        self.current = opened
        if self._listener is not None:
            opened.watch_silence(self._silence, self)
        if before is not None:
            before.close("another connection took its place")
        if self._listener is not None:
            self._listener.heard()
        return opened

    async def _replace(self) -> None:
        """Try to connect until the silent connection has a successor, or is lost."""
        while self.current is not None and self.current.silent and not self.current.closed:
            with contextlib.suppress(*DRIVER_ERRORS):
                await self._open()
            await asyncio.sleep(_PAUSE_SECONDS)


async def _open(address: Address, sign_on: SignOn, deadline: float) -> MultiplexedConnection:
    """Connect and sign on.

    Raises:
        ConnectionError: the driver's; nothing there answers, or not by the deadline (the loop's clock).
        RedisError: the server refuses the user.
    """
    host, port = address
    try:
        async with asyncio.timeout_at(deadline):
            transport, connection = await asyncio.get_running_loop().create_connection(
                MultiplexedConnection, host, port, ssl=sign_on.tls()
            )
    except TimeoutError:
        raise RedisConnectionError(f"connecting to {host}:{port} timed out") from None
    except (OSError, ValueError) as error:
        raise RedisConnectionError(_not_connected(f"{host}:{port}", error)) from error
    try:
        opened = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
        commands = sign_on.commands()
        replies = await connection.send(packed(commands), len(commands), deadline=deadline)
        sign_on.check(replies)
    except BaseException as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise RedisConnectionError(f"signing on at {host}:{port} timed out") from None
        raise
    return connection


def _not_connected(where: str, error: Exception) -> str:
    """Why there is no connection, in the driver's words: ``app.store.faults`` reads both."""
    match error.args:
        case ():
            return f"Error connecting to {where}."
        case (what,):
            return f"Error {what} connecting to {where}."
        case (number, text, *_):
            return f"Error {number} connecting to {where}. {text}."
    raise AssertionError("a tuple has one of these forms")


def _drop(attempt: asyncio.Task[MultiplexedConnection]) -> None:
    """Give up a try, and end what it may have opened already."""
    if attempt.cancel() or attempt.cancelled():
        return
    if attempt.exception() is None:
        attempt.result().close()


def forget_failure(task: asyncio.Task[Any]) -> None:
    """Read the failure of a task that no caller may be left to see."""
    if not task.cancelled():
        task.exception()
