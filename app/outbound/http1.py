"""One connection to a provider: one request at a time, written at once, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from app.outbound.deadlines import Deadlines
from app.outbound.http1_answer import AnswerReader, Malformed
from app.outbound.http1_request import Origin
from app.providers.base import UpstreamResponse


class Lost(Exception):
    """The connection ended, or what came was no answer, after the request had been written."""


class Connection(asyncio.Protocol):
    """A kept connection. Bytes that nobody asked for end it, since the next answer could be mistaken.

    Args:
        origin: whom it leads to.
        deadlines: of all connections.
        on_idle: is called when an answer is whole and the connection may carry another request.
        on_lost: is called once, when it has ended.
    """

    __slots__ = (
        "_deadlines",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_reader",
        "_transport",
        "_waiter",
        "idle_since",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        *,
        deadlines: Deadlines,
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.origin: Final = origin
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._reader = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[UpstreamResponse] | None = None

    @property
    def usable(self) -> bool:
        """Whether it stands, as far as the system has told."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, *, until: float) -> UpstreamResponse:
        """Send the request and read the whole answer. Anything but an answer ends the connection.

        Args:
            until: on the loop's clock, seconds; the answer must be whole by then.

        Raises:
            TimeoutError: it is not.
            Lost: there will be none.
        """
        transport = self._transport
        if transport is None or self._waiter is not None:
            raise Lost
        waiter: asyncio.Future[UpstreamResponse] = self._loop.create_future()
        self._waiter = waiter
        self._deadlines.add(self, until)
        transport.write(request)
        try:
            return await waiter
        finally:
            # The caller was cancelled: an answer may still come, so nobody else may use this. After an
            # answer, somebody else may be waiting already for the next one.
            if self._waiter is waiter:
                self._waiter = None
                self._deadlines.discard(self)
                self.abort()

    def abort(self) -> None:
        """End it at once; what is not sent yet is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What create_connection makes; uvloop's transport is no subclass that could be asked for.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except Malformed as error:
            self._fail(error)
            return
        if answer is not None:
            self._finish(answer)

    def eof_received(self) -> None:
        """The provider sends no more; returning None closes our side too."""
        if self._waiter is None:
            return
        try:
            answer = self._reader.end()
        except Malformed as error:
            self._fail(error)
        else:
            self._finish(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._reader.close()
        self._fail(exc)
        self._on_lost(self)

    def late(self) -> None:
        """The deadline has come."""
        self._give_up(TimeoutError())

    def _finish(self, answer: UpstreamResponse) -> None:
        waiter, self._waiter, transport = self._waiter, None, self._transport
        self._deadlines.discard(self)
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)
        if transport is None:
            return
        # An answer that came before the whole request was taken: the rest must not lead the next one.
        if self._reader.reusable and not transport.is_closing() and not transport.get_write_buffer_size():
            self._reader.reset()
            self._on_idle(self)
        else:
            transport.abort()

    def _fail(self, cause: Exception | None) -> None:
        lost = Lost()
        lost.__cause__ = cause
        self._give_up(lost)

    def _give_up(self, failure: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self._deadlines.discard(self)
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)
        self.abort()
