"""One connection: admission control in front of aiohttp's HTTP protocol.

What is refused must cost far less than what is served: while the process sheds load, a refusal is written
before the request is parsed, and a connection on which nothing was served yet never gets a protocol of
aiohttp's.

For that a connection must know where requests begin and end. It follows lengths only, and only to find the
moment when nothing of an earlier request is left. Whatever it is not sure of goes to aiohttp, and
``app.web.gate`` refuses it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import structlog
from aiohttp import web

from app.errors import InvalidRequest
from app.web.answers import Refusal, internal_error, new_request_id, unrouted
from app.web.appkeys import Lifecycle
from app.web.listener.admission import Admission

log = structlog.get_logger("cloakroom.protocol")

# Longer than the usual idle timeout of a load balancer (60 s), so that it is never we who close a
# connection on which it is just sending a request.
KEEPALIVE_SECONDS: Final = 75.0
# aiohttp counts a connection's idle time from the last request that it saw, so it must see one that often.
_SEEN_SECONDS: Final = 10.0
_POST: Final = b"POST "
_ADMIN: Final = b"POST /admin/"
# A longer rest of a refused body is not skipped: aiohttp closes such a connection.
_MOST_SKIPPED: Final = 1_048_576
# In place of a number of bytes: where the next request begins is not known, for the rest of the connection.
_LOST: Final = -1
_LONGEST_NUMBER: Final = 10


class Served(Protocol):
    """What a connection needs of the protocol that serves its requests."""

    asked: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Front:
    """What the connections of one port share."""

    def __init__(
        self,
        admission: Admission,
        refusal: Refusal,
        lifecycle: Lifecycle,
        serve: Callable[[Connection], Served],
    ) -> None:
        self.admission = admission
        self.refusal = refusal
        self.lifecycle = lifecycle
        self.serve = serve
        self.loop = asyncio.get_running_loop()
        self.unserved: set[Connection] = set()

    def close(self) -> None:
        """Close the connections that aiohttp does not know."""
        for connection in list(self.unserved):
            connection.close()


class Connection(asyncio.Protocol):
    """Hands what arrives to the protocol that ``front.serve`` makes, or refuses it."""

    __slots__ = (
        "_closing",
        "_front",
        "_idle",
        "_left",
        "_open",
        "_paused",
        "_seen",
        "_served",
        "_skipping",
        "_transport",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._served: Served | None = None
        # Bytes of the request in transfer that are still to come, and whether they belong to a refused one.
        self._left = 0
        self._skipping = False
        self._closing = False
        # Requests that were handed on and are not answered yet; when the last one was answered or refused.
        self._open = 0
        self._seen = 0.0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self._seen = self._front.loop.time()
        self._idle = self._front.loop.call_later(KEEPALIVE_SECONDS, self._look_whether_idle)
        self._front.unserved.add(self)

    def data_received(self, data: bytes) -> None:
        """Serve or refuse a request; hand on or skip the rest of one."""
        left = self._left
        if left == 0:
            size = request_size(data)
            front = self._front
            asked = size > 0 and data.startswith(_POST) and not data.startswith(_ADMIN)
            if asked and not front.admission.admits(front.loop):
                if self._refuse(data, size):
                    return
                asked = False
            left = size or _LOST
            self._open += 1
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

    def eof_received(self) -> bool | None:
        """The caller sends no more."""
        return self._served.eof_received() if self._served is not None else None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing more can be sent."""
        self._idle.cancel()
        self._front.unserved.discard(self)
        if self._served is not None:
            self._served.connection_lost(exc)

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

    def close(self) -> None:
        """Close it after what was written."""
        self._transport.close()

    def _serve(self) -> Served:
        self._idle.cancel()
        self._front.unserved.discard(self)
        self._served = self._front.serve(self)
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
            self._idle = self._front.loop.call_later(rest, self._look_whether_idle)


def request_size(data: bytes) -> int:
    """The length of the request that these bytes begin with, from its head; 0 where it is not certain."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = data[: end + 2].lower()
    at = head.find(b"\ncontent-length:")
    if at < 0:
        return 0 if b"\ntransfer-encoding" in head else end + 4
    stop = head.find(b"\r\n", at)
    length = head[at + 16 : stop].strip()
    if not length.isdigit() or len(length) > _LONGEST_NUMBER:
        return 0
    if head.count(b"content-length") > 1 or b"\ntransfer-encoding" in head:
        return 0
    return end + 4 + int(length)


class HttpProtocol(web.RequestHandler):
    """aiohttp's HTTP protocol with our answer to a request that cannot be parsed.

    aiohttp's own answer names its version, quotes the input, and leaves a traceback in the log.
    """

    # Whether admission control was asked about the request that arrived last.
    asked = False
    connection: Connection

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and tell the connection."""
        sent = await super().finish_response(request, resp, start_time)
        self.connection.answered()
        return sent

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with an error, and close the connection.

        Raises:
            ConnectionError: an answer had begun already.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun already")
        request_id = new_request_id()
        if status >= 500:
            log.error("request_failed", request_id=request_id, exc_info=exc)
            return unrouted(internal_error(), request_id)
        # Neither the answer nor the log repeats the input, which may hold anything.
        log.info("request_unreadable", request_id=request_id, reason=type(exc).__name__)
        error = InvalidRequest("This is not a valid HTTP request, or a header is too long.")
        return unrouted(error, request_id)
