"""One connection that many requests share: commands go out as they come, replies come back in the same order.

A connection for each command in flight costs a request more than its own work does (a pool, a stream reader,
a timer for each task), and Redis runs one command after another anyway.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import hiredis

from app.store import errors

Command = tuple[str | int, ...]

_NOTHING_YET: Final = object()
# After a deadline, what lies in the socket is read first: a busy process is not a silent server.
_GRACE_SECONDS: Final = 0.005

# The error for the first word of an error reply; ``ResponseError`` for every other word.
_ERRORS: Final[Mapping[str, type[errors.RedisError]]] = {
    "ERR": errors.ResponseError,
    "ASK": errors.AskError,
    "CLUSTERDOWN": errors.ClusterDownError,
    "CROSSSLOT": errors.ClusterCrossSlotError,
    "LOADING": errors.BusyLoadingError,
    "MASTERDOWN": errors.MasterDownError,
    "MOVED": errors.MovedError,
    "NOAUTH": errors.AuthenticationError,
    "NOPERM": errors.NoPermissionError,
    "NOSCRIPT": errors.NoScriptError,
    "OOM": errors.OutOfMemoryError,
    "READONLY": errors.ReadOnlyError,
    "TRYAGAIN": errors.TryAgainError,
    "WRONGPASS": errors.AuthenticationError,
}


class Listener(Protocol):
    """Hears that a server owes replies and sends nothing, and that it speaks again."""

    def silent(self) -> None:
        """The server has sent nothing for too long."""

    def heard(self) -> None:
        """It was silent, and has sent something."""


class _Waiting:
    """A caller that waits for ``count`` replies. Times are the loop's clock, in seconds."""

    __slots__ = ("count", "deadline", "future", "replies", "sent")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, sent: float, deadline: float) -> None:
        self.future = future
        self.count = count
        self.sent = sent
        self.deadline = deadline
        self.replies: list[Any] = []


class MultiplexedConnection(asyncio.Protocol):
    """The protocol of one connection to one server. ``reconnecting`` opens it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._reader = hiredis.Reader(replyError=_error_reply, encoding="utf-8", notEnoughData=_NOTHING_YET)
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = math.inf
        self._heard = self._loop.time()
        self._silence = math.inf
        self._listener: Listener | None = None
        # Owes a reply, and has sent nothing for too long; see ``watch_silence``.
        self.silent = False
        self.closed = False

    def watch_silence(self, seconds: float, listener: Listener) -> None:
        """Tell the listener when the server owes a reply and has sent nothing for so long.

        Callers then go on waiting until their deadlines, since the server may speak again. Without a
        listener the first deadline that passes in silence ends the connection.
        """
        self._silence, self._listener = seconds, listener

    def send(self, data: bytes, count: int, *, deadline: float) -> asyncio.Future[list[Any]]:
        """Send ``count`` packed commands. The future gets their replies; a refused command's is its error.

        The future fails with ``TimeoutError`` at the deadline (the loop's clock, in seconds), and with the
        driver's ``ConnectionError`` when the connection ends first.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        now = self._loop.time()
        self._waiting.append(_Waiting(future, count, now, deadline))
        self._transport.write(data)
        look = min(deadline, now + self._silence)
        if look < self._next_look:
            self._look_at(look)
        return future

    def close(self, why: str = "closed") -> None:
        """End the connection at once. Callers that still wait get the driver's ``ConnectionError``."""
        if not self.closed:
            self._transport.abort()
            self._fail(errors.ConnectionError(why))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self.silent:
            self._speaks_again()
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
        self._fail(errors.ConnectionError("the connection was lost"))

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            return  # not a reply: news that the server sends by itself
        if not self._waiting:
            self.close("a reply to nothing")
            return
        first = self._waiting[0]
        first.replies.append(reply)
        if len(first.replies) == first.count:
            self._waiting.popleft()
            # The caller may have been cancelled, or its deadline has passed.
            if not first.future.done():
                first.future.set_result(first.replies)
        if isinstance(reply, errors.ReadOnlyError):
            # A primary that became a replica: the next connection goes to the new primary.
            self._loop.call_soon(self.close)

    def _look_at_deadlines(self) -> None:
        """One timer serves all callers. A reply does not stop it; it then finds nothing to do."""
        if self._next_event() <= self._loop.time():
            self._timer = self._loop.call_later(_GRACE_SECONDS, self._end_the_overdue)
        else:
            self._look_at(self._next_event())

    def _end_the_overdue(self) -> None:
        now = self._loop.time()
        overdue = [waiting for waiting in self._waiting if waiting.deadline <= now]
        for waiting in overdue:
            if not waiting.future.done():
                waiting.future.set_exception(TimeoutError())
        if not self.silent and self._silent_from() <= now:
            self.silent = True
            if self._listener is not None:
                self._listener.silent()
        if overdue and self._is_given_up(overdue[0]):
            # Every further command would wait behind this one.
            self.close("no reply in time")
        elif not self.closed:
            self._look_at(self._next_event())

    def _is_given_up(self, overdue: _Waiting) -> bool:
        """Whether the server has sent nothing since this command, and no caller waits for it any more."""
        if self._listener is None:
            return self._heard < overdue.sent
        return self.silent and self._next_deadline() == math.inf

    def _speaks_again(self) -> None:
        self.silent = False
        if self._listener is not None:
            self._listener.heard()
        if not self.closed:
            self._look_at(self._next_event())

    def _next_event(self) -> float:
        return min(self._next_deadline(), math.inf if self.silent else self._silent_from())

    def _next_deadline(self) -> float:
        return min((one.deadline for one in self._waiting if not one.future.done()), default=math.inf)

    def _silent_from(self) -> float:
        """When the server counts as silent, should it send nothing until then."""
        if not self._waiting:
            return math.inf
        return max(self._heard, self._waiting[0].sent) + self._silence

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


def packed(commands: Sequence[Command]) -> bytes:
    """The commands as bytes for the connection."""
    pack: Any = hiredis.pack_command  # its stub asks for a tuple with one item
    return b"".join([pack(command) for command in commands])


def _error_reply(text: str) -> errors.RedisError:
    code, _, message = text.partition(" ")
    if message == "max number of clients reached":
        return errors.ConnectionError(message)
    known = _ERRORS.get(code)
    return known(message) if known is not None else errors.ResponseError(text)
