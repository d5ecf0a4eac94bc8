"""One connection to one server, shared by all requests: commands go out as they come, replies come in order.

The driver connects, signs on, speaks TLS and follows Sentinel; from then on the connection is read and
written here. A connection of its own for each command in flight costs a request more than its own work does
(a pool, a stream reader, a task's timer), while Redis answers one command after another in any case.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, Final

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

_NOTHING_YET: Final = object()
# What lies in the socket when a deadline has passed is read first: a busy process is not a silent server.
_GRACE_SECONDS: Final = 0.005


class _Waiting:
    """Somebody who waits for ``count`` replies; times are the loop's clock, in seconds."""

    __slots__ = ("count", "deadline", "future", "replies", "sent")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, sent: float, deadline: float) -> None:
        self.future = future
        self.count = count
        self.sent = sent
        self.deadline = deadline
        self.replies: list[Any] = []


class Wire(asyncio.Protocol):
    """Takes over a connection that the driver has made.

    Args:
        connection: the driver's, connected and signed on; this object reads it from now on.
    """

    def __init__(self, connection: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = connection._writer.transport
        # It still wants to hear of the connection's end: the driver waits for that when it closes.
        self._before: Any = self._transport.get_protocol()
        self._reader = _new_reader()
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = math.inf
        self._heard = self._loop.time()
        self.closed = False
        self._transport.set_protocol(self)

    def send(self, packed: bytes, count: int, *, deadline: float) -> asyncio.Future[list[Any]]:
        """Send packed commands; the future gets their replies, a refused command's error in its place.

        It fails with ``TimeoutError`` at the deadline (the loop's clock), and with the driver's
        ``ConnectionError`` when the connection ends before.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append(_Waiting(future, count, self._loop.time(), deadline))
        self._transport.write(packed)
        if deadline < self._next_look:
            self._look_at(deadline)
        return future

    def close(self, why: str = "closed") -> None:
        """End the connection at once; whoever still waits gets the driver's ``ConnectionError``."""
        if not self.closed:
            self._transport.abort()
            self._fail(RedisConnectionError(why))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self._reader.feed(data)
            while True:
                reply = self._reader.gets()
                if reply is _NOTHING_YET:
                    return
                self._take(reply)
        except (hiredis.ProtocolError, UnicodeDecodeError):
            self.close("the server does not speak Redis' protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(RedisConnectionError("the connection was lost"))
        self._before.connection_lost(exc)

    def eof_received(self) -> bool:
        return False

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            return  # news of the server's, asked for by nobody here
        if not self._waiting:
            self.close("a reply to nothing")
            return
        first = self._waiting[0]
        first.replies.append(reply)
        if len(first.replies) == first.count:
            self._waiting.popleft()
            # Who was cancelled, or had waited long enough, has no use for it.
            if not first.future.done():
                first.future.set_result(first.replies)
        if isinstance(reply, ReadOnlyError):
            # A primary that was demoted: the next connection finds its successor.
            self._loop.call_soon(self.close)

    def _look_at_deadlines(self) -> None:
        """One timer for all who wait. It is not stopped when a reply comes, only looks in vain then."""
        if self._next_deadline() <= self._loop.time():
            self._timer = self._loop.call_later(_GRACE_SECONDS, self._end_the_overdue)
        else:
            self._look_at(self._next_deadline())

    def _end_the_overdue(self) -> None:
        now = self._loop.time()
        overdue = [waiting for waiting in self._waiting if waiting.deadline <= now]
        for waiting in overdue:
            if not waiting.future.done():
                waiting.future.set_exception(TimeoutError())
        if overdue and self._heard < overdue[0].sent:
            # Not a word since: whatever is sent on this connection stands behind a silent server.
            self.close("no reply in time")
        else:
            self._look_at(self._next_deadline())

    def _next_deadline(self) -> float:
        return min((one.deadline for one in self._waiting if not one.future.done()), default=math.inf)

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_look = when
        self._timer = self._loop.call_at(when, self._look_at_deadlines) if when < math.inf else None

    def _fail(self, error: Exception) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(error)


def _new_reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=BaseParser.parse_error, encoding="utf-8", notEnoughData=_NOTHING_YET)
