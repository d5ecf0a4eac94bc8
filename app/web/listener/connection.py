"""One connection: admission control in front of aiohttp's HTTP protocol.

What is refused must cost far less than what is served: while the process sheds load, a refusal is written
before the request is parsed, and a connection on which nothing was served yet never gets a protocol of
aiohttp's.

For that a connection must know where requests begin and end. It follows lengths only, and only to find the
moment when nothing of an earlier request is left. Whatever it is not sure of goes to aiohttp, and
``app.web.gate`` refuses it there.

Callers that send nothing, send a head byte by byte, or do not read their answer, cost a connection. Their
time is limited, and so is the number of connections (``app.web.listener.front``).
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any, Final, cast

from app.web.addresses import UNKNOWN, counted_as, parse_address
from app.web.listener.front import Front, Served
from app.web.listener.refusal import Refusal

_LONGEST_HEAD: Final = 65_536
# aiohttp closes idle connections; where the rest of an answer waits in its transport, that takes the caller.
_GRACE_SECONDS: Final = 5.0
# aiohttp counts a connection's idle time from the last request that it saw, so it must see one that often.
_SEEN_SECONDS: Final = 10.0
HEAD_END: Final = b"\r\n\r\n"
# What aiohttp's parser would wait for the end of: a method, after line ends that it skips.
_BEGINNING: Final = re.compile(rb"[\r\n]*[A-Z-]{0,32}(?: |\Z)")
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
        "_peer",
        "_seen",
        "_served",
        "_skipping",
        "_timer",
        "_transport",
        "_unread",
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
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        front = self._front
        self._peer = _peer_of(transport.get_extra_info("peername"))
        self._seen = front.loop.time()
        self._timer = front.loop.call_later(front.limits.idle, self._look_whether_idle)
        _end_when_unread(transport.get_extra_info("socket"), front.limits.unread)
        if not front.made(self._transport, self._peer):
            self._transport.abort()

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
            refusal = front.early.of(data, self._peer, front.loop) if asked else None
            if refusal is not None:
                if self._refuse(refusal, data, size):
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
        if self._unread is not None:
            self._unread.cancel()
        self._front.lost(self._transport, self._peer)
        self._gone = True
        if self._served is not None:
            self._served.connection_lost(exc)
            self._served = None

    def pause_writing(self) -> None:
        """The caller does not read."""
        self._paused = True
        if self._unread is None:
            self._unread = self._front.loop.call_later(self._front.limits.unread, self._cut, "unread")
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._paused = False
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if self._served is not None:
            self._served.resume_writing()

    def _with_head(self, data: bytes) -> bytes | None:
        """What came so far of a request; None while its head is not whole."""
        head = self._head
        if head is None:
            if not _BEGINNING.match(data):
                return data
            self._head = bytearray(data)
            self._timer.cancel()
            self._timer = self._front.loop.call_later(self._front.limits.head, self._cut, "head")
            return None
        seen = max(0, len(head) - 3)
        head += data
        if head.find(HEAD_END, seen) < 0 and len(head) < _LONGEST_HEAD:
            return None
        self._head = None
        self._timer.cancel()
        self._timer = self._front.loop.call_later(self._front.limits.idle, self._look_whether_idle)
        return bytes(head)

    def _serve(self) -> Served:
        self._served = self._front.serve(self.answered)
        self._served.connection_made(self._transport)
        if self._paused:
            self._served.pause_writing()
        return self._served

    def _refuse(self, refusal: Refusal, data: bytes, size: int) -> bool:
        """Refuse the request at once; False where that is not safe."""
        now = self._front.loop.time()
        overdue = self._served is not None and now - self._seen > _SEEN_SECONDS
        if self._open or overdue or not 0 <= size - len(data) <= _MOST_SKIPPED:
            return False
        if self._front.lifecycle.draining:
            return False
        answer = refusal.answer(data)
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
        """End it when nothing was heard for so long. Of those that aiohttp serves, it closes them first."""
        now, idle = self._front.loop.time(), self._front.limits.idle
        if self._open > 0:
            rest = idle
        elif self._served is None:
            rest = self._seen + idle - now
        else:
            rest = self._seen + idle + _GRACE_SECONDS - now
        if rest > 0:
            self._timer = self._front.loop.call_later(rest, self._look_whether_idle)
        elif self._served is None:
            self._transport.close()
        else:
            self._cut("unread")

    def _cut(self, reason: str) -> None:
        """End it at once, whatever still waits to be written."""
        self._front.cut(reason)
        self._transport.abort()


def _peer_of(name: Any) -> str:
    """What the peer's address is counted under; ``name`` is the transport's."""
    host = str(name[0]) if isinstance(name, (tuple, list)) and name else str(name or UNKNOWN)
    return counted_as(parse_address(host) or host)


def _end_when_unread(connection: Any, seconds: float) -> None:
    """Let the kernel end a connection whose other end takes nothing of what is sent, closed or not."""
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


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
