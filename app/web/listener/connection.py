"""One connection: admission control in front of aiohttp's HTTP protocol.

What is refused must cost far less than what is served: while the process sheds load, a refusal is written
before the request is parsed, and a connection on which nothing was served yet never gets a protocol of
aiohttp's.

For that a connection must know where requests begin and end. It follows lengths only, and only to find the
moment when nothing of an earlier request is left. Whatever it is not sure of goes to aiohttp, and
``app.web.gate`` refuses it there.

Callers that send nothing, or a head byte by byte, cost a connection: their time is limited, and when there
are too many connections, the one that has been idle longest is closed for a new one.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from app.web.listener.front import Front, Served

# Longer than the usual idle timeout of a load balancer (60 s), so that it is never we who close a
# connection on which it is just sending a request.
KEEPALIVE_SECONDS: Final = 75.0
# So long a head may take from its first byte to its last, and so long it may be.
HEAD_SECONDS: Final = 10.0
_LONGEST_HEAD: Final = 65_536
# aiohttp counts a connection's idle time from the last request that it saw, so it must see one that often.
_SEEN_SECONDS: Final = 10.0
HEAD_END: Final = b"\r\n\r\n"
_METHODS: Final = (b"POST ", b"GET ", b"OPTIONS ")
_POST: Final = b"POST "
_ADMIN: Final = b"POST /admin/"
# A longer rest of a refused body is not skipped: aiohttp closes such a connection.
_MOST_SKIPPED: Final = 1_048_576
# In place of a number of bytes: where the next request begins is not known, for the rest of the connection.
_LOST: Final = -1
_LONGEST_NUMBER: Final = 10


class Connection(asyncio.Protocol):
    """Hands what arrives to the protocol that ``front.serve`` makes, or refuses it."""

    __slots__ = (
        "_closing",
        "_front",
        "_gone",
        "_head",
        "_left",
        "_open",
        "_paused",
        "_seen",
        "_served",
        "_skipping",
        "_timer",
        "_transport",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._served: Served | None = None
        # Bytes of the request in transfer that are still to come, and whether they belong to a refused one.
        self._left = 0
        self._head: bytearray | None = None
        self._skipping = False
        self._closing = False
        # Requests that were handed on and are not answered yet; when the last one was answered or refused.
        self._open = 0
        self._seen = 0.0
        self._paused = False
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self._seen = self._front.loop.time()
        self._timer = self._front.loop.call_later(KEEPALIVE_SECONDS, self._look_whether_idle)
        self._front.made(self._transport)

    def data_received(self, data: bytes) -> None:
        """Serve or refuse a request; hand on or skip the rest of one."""
        left = self._left
        if left == 0:
            end = data.find(HEAD_END)
            if self._open == 0 and (end < 0 or self._head is not None):
                whole = self._with_head(data)
                if whole is None:
                    return
                data, end = whole, whole.find(HEAD_END)
            size = request_size(data, end)
            front = self._front
            asked = size > 0 and data.startswith(_POST) and not data.startswith(_ADMIN)
            if asked and not front.admission.admits(front.loop):
                if self._refuse(data, size):
                    return
                asked = False
            left = size or _LOST
            self._open += 1
            self._front.idle.pop(self._transport, None)
        elif self._skipping:
            self._skip(data)
            return
        else:
            asked = left != _LOST
        if left > 0:
            left -= len(data)
            # More than the request: the caller does not wait for answers, so there is no moment between two.
            self._left = left if left >= 0 else _LOST
        else:
            self._left = _LOST
        served = self._served or self._serve()
        served.asked = asked and self._left >= 0
        served.data_received(data)

    def answered(self) -> None:
        """One of the requests that were handed on is answered."""
        self._open -= 1
        self._seen = self._front.loop.time()
        if self._open == 0 and not self._gone:
            self._front.idle[self._transport] = None

    def eof_received(self) -> bool | None:
        """The caller sends no more."""
        return self._served.eof_received() if self._served is not None else None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing more can be sent."""
        self._timer.cancel()
        self._front.lost(self._transport)
        self._gone = True
        if self._served is not None:
            self._served.connection_lost(exc)
            self._served = None

    def pause_writing(self) -> None:
        """The caller does not read."""
        self._paused = True
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._paused = False
        if self._served is not None:
            self._served.resume_writing()

    def _with_head(self, data: bytes) -> bytes | None:
        """What came so far of a request; None while its head is not whole."""
        head = self._head
        if head is None:
            if not _may_be_a_head(data):
                return data
            self._head = bytearray(data)
            self._timer.cancel()
            self._timer = self._front.loop.call_later(HEAD_SECONDS, self._transport.close)
            return None
        seen = max(0, len(head) - 3)
        head += data
        if head.find(HEAD_END, seen) < 0 and len(head) < _LONGEST_HEAD:
            return None
        self._head = None
        self._timer.cancel()
        if self._served is None:
            self._timer = self._front.loop.call_later(KEEPALIVE_SECONDS, self._look_whether_idle)
        return bytes(head)

    def _serve(self) -> Served:
        self._timer.cancel()
        self._served = self._front.serve(self.answered)
        self._served.connection_made(self._transport)
        if self._paused:
            self._served.pause_writing()
        return self._served

    def _refuse(self, data: bytes, size: int) -> bool:
        """Refuse the request at once; False where that is not safe."""
        now = self._front.loop.time()
        overdue = self._served is not None and now - self._seen > _SEEN_SECONDS
        if self._open or overdue or not 0 <= size - len(data) <= _MOST_SKIPPED:
            return False
        if self._front.lifecycle.draining:
            return False
        answer = self._front.refusal.answer(data)
        if answer is None:
            return False
        text, self._closing = answer
        if self._paused:
            self._transport.abort()
            return True
        self._transport.write(text)
        if self._served is None:
            self._seen = now
        self._go_on_after(size - len(data))
        return True

    def _skip(self, data: bytes) -> None:
        more = len(data) - self._left
        self._go_on_after(max(0, -more))
        if more > 0:
            self.data_received(data[-more:])

    def _go_on_after(self, rest: int) -> None:
        """So many bytes of the refused request are still to come."""
        self._left = rest
        self._skipping = rest > 0
        if self._closing and rest == 0:
            self._transport.close()

    def _look_whether_idle(self) -> None:
        """Close it when nothing was heard for so long; aiohttp does that once it serves the connection."""
        rest = self._seen + KEEPALIVE_SECONDS - self._front.loop.time()
        if rest <= 0:
            self._transport.close()
        else:
            self._timer = self._front.loop.call_later(rest, self._look_whether_idle)


def _may_be_a_head(data: bytes) -> bool:
    return any(data.startswith(method[: len(data)]) for method in _METHODS)


def request_size(data: bytes, end: int) -> int:
    """The length of the request that these bytes begin with, from its head; 0 where it is not certain.

    ``end`` is where its empty line is, negative where there is none.
    """
    if end < 0:
        return 0
    head = data[: end + 2].lower()
    before, name, after = head.partition(b"\ncontent-length:")
    if b"\ntransfer-encoding" in head:
        return 0
    if not name:
        return end + 4
    length = after[: after.find(b"\r\n")].strip()
    if not length.isdigit() or len(length) > _LONGEST_NUMBER or name[1:-1] in before or name[1:-1] in after:
        return 0
    return end + 4 + int(length)
