"""One connection to a provider: one request at a time, written at once, and its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol, cast

from app.outbound.http1 import AnswerReader, Malformed, Origin
from app.providers.base import UpstreamResponse

# Event loops round times by up to a millisecond.
_TICK_SECONDS: Final = 0.001


class Lost(Exception):
    """The connection ended, or what came was no answer, after the request had been written.

    ``head`` is what came of the answer: the status and the headers, None where not even these did.
    """

    def __init__(self, head: UpstreamResponse | None = None) -> None:
        super().__init__()
        self.head = head


class Late(TimeoutError):
    """The deadline came before the answer was whole. ``head`` is as for ``Lost``."""

    def __init__(self, head: UpstreamResponse | None) -> None:
        super().__init__()
        self.head = head


class Connection(asyncio.Protocol):
    """A kept connection. Bytes that no request asked for end it: they could pass for the next answer.

    Args:
        origin: the server at its other end.
        deadlines: those of all connections.
        on_idle: called when an answer is whole and the connection may carry another request.
        on_lost: called once, when it has ended.
    """

    __slots__ = (
        "_deadlines",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_reader",
        "_spoiled",
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
        self._spoiled = False
        self._waiter: asyncio.Future[UpstreamResponse] | None = None

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as the system has reported."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, *, until: float) -> UpstreamResponse:
        """Send the request and read the whole answer. Anything but an answer ends the connection.

        Args:
            until: seconds on the loop's clock by which the answer must be whole.

        Raises:
            Late: the answer did not come in time.
            Lost: no answer will come.
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
            # Still our waiter: the caller was cancelled. An answer may still come, so the connection ends.
            # After an answer, another request may already be waiting here.
            if self._waiter is waiter:
                self._waiter = None
                self._deadlines.discard(self)
                self.abort()
            # It holds the failure, whose traceback holds this frame: a cycle.
            del waiter

    def abort(self) -> None:
        """End it at once; bytes that are not sent yet are dropped."""
        self._spoiled = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, so isinstance cannot tell.
        self._transport = cast(asyncio.Transport, transport)
        # A tunnel's TLS may deliver bytes, or end, before it is handed over.
        if self._spoiled:
            self._transport.abort()

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
        """The provider sends no more. Returning None closes our side too."""
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
        self._give_up(Late(self._reader.head))

    def _finish(self, answer: UpstreamResponse) -> None:
        waiter, self._waiter, transport = self._waiter, None, self._transport
        self._deadlines.discard(self)
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)
        if transport is None:
            return
        # The answer may come before the whole request is sent: the rest must not precede the next request.
        if self._reader.reusable and not transport.is_closing() and not transport.get_write_buffer_size():
            self._reader.reset()
            self._on_idle(self)
        else:
            transport.abort()

    def _fail(self, cause: Exception | None) -> None:
        lost = Lost(self._reader.head)
        lost.__cause__ = cause
        self._give_up(lost)

    def _give_up(self, failure: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self._deadlines.discard(self)
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)
        self.abort()


class Waiting(Protocol):
    """An object that waits until a deadline."""

    def late(self) -> None:
        """Called when the deadline has passed."""


class Deadlines:
    """One timer for all requests under way: a timer for each would cost more than parsing the answer.

    Most deadlines are equally far off when they are added, so the timer seldom moves. Make it inside the
    running loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until: dict[Waiting, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf

    def add(self, one: Waiting, until: float) -> None:
        """Call ``one.late()`` at ``until``, in seconds of the loop's clock, unless it is discarded before."""
        self._until[one] = until
        if until < self._armed_for:
            self._arm(until)

    def discard(self, one: Waiting) -> None:
        """Forget it. The timer stays and finds nothing due."""
        self._until.pop(one, None)

    def close(self) -> None:
        """Stop the timer."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = until
        self._timer = self._loop.call_at(until, self._fire)

    def _fire(self) -> None:
        self._timer, self._armed_for = None, math.inf
        now = self._loop.time() + _TICK_SECONDS
        for one in [one for one, until in self._until.items() if until <= now]:
            self.discard(one)
            one.late()
        if self._until:
            self._arm(min(self._until.values()))
