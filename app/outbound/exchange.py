"""Offers that go over a WebSocket: one message there, one answer back, and a socket that stays open.

It is an ``Upstream`` around another: what is no exchange goes to that one. The rule of the relay holds here
as well. Until the handshake is done nothing of the offer has left, so that failure is ``NotConnected``. From
the moment in which the offer's message is handed to the socket, every failure is ``NoAnswer``.

The socket of an answered offer is held while its call lasts, since closing it may end the call (see
``app.providers.dialects.voice_live``). What the provider sends on it is read, to keep it alive, and dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import orjson
import structlog

from app.errors import Overloaded
from app.models import LONGEST_CALL_SECONDS
from app.outbound.sideband import (
    CLOSE_SECONDS,
    GOING_AWAY,
    NORMAL,
    AttachRefused,
    Closed,
    EventSocket,
    SidebandClient,
)
from app.outbound.upstream import NO_HEADERS, NoAnswer, NotConnected, Upstream, tried
from app.providers.base import Exchange, UpstreamRequest, UpstreamResponse, is_call_id
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.outbound")

# Of what a provider may send before its answer. It sends two or three messages, which repeat the session.
MOST_SKIPPED: Final = 64
MOST_SKIPPED_BYTES: Final = 1_048_576
# Of the time for the whole exchange, at most this for the handshake: the rest is for the answer.
_HANDSHAKE_SHARE: Final = 0.9
# No call lasts longer; then the socket of one whose end was not told is closed.
LONGEST_HOLD_SECONDS: Final = LONGEST_CALL_SECONDS + 60.0
SWITCHING_PROTOCOLS: Final = 101


class _NotAnswered(Exception):
    """The socket ended, or what came on it is no answer. The message is for our log."""


class Exchanges:
    """Make it inside the running loop.

    Args:
        upstream: sends everything else.
        sockets: opens WebSockets.
        handshake_seconds: for connecting and the handshake together.
        most: exchanges under way and sockets held, together; one more is not begun.

    Attributes:
        on_end: called with a call's id when its socket ended, and not by ``end``.
    """

    def __init__(
        self, upstream: Upstream, sockets: SidebandClient, *, handshake_seconds: float, most: int
    ) -> None:
        self._upstream = upstream
        self._sockets = sockets
        self._handshake_seconds = handshake_seconds
        self._most = most
        self._under_way = 0
        self._held: dict[str, EventSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.on_end: Callable[[str], None] = lambda _call_id: None

    @property
    def held(self) -> list[str]:
        """The ids of the calls whose sockets are open here."""
        return [name for name in self._held if is_call_id(name)]

    @property
    def holding(self) -> int:
        """How many sockets are open here after their answer, also of calls without an id."""
        return len(self._held)

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        """As ``Upstream.post``.

        Raises:
            Overloaded: there are as many exchanges as there may be; nothing was sent.
        """
        exchange = request.exchange
        if exchange is None:
            return await self._upstream.post(request, timeout=timeout, timings=timings)
        if self._closing or self._under_way + len(self._held) >= self._most:
            log.warning("too_many_exchanges", held=len(self._held), most=self._most)
            raise Overloaded(
                "This replica holds as many calls of this provider as it may. Nothing was sent; try again.",
                retry_after=1,
            )
        return await tried(lambda more: self._exchange(request, exchange, timeout, more), timings, "GET")

    async def get(self, request: UpstreamRequest, *, timeout: float) -> UpstreamResponse:
        """As ``Upstream.get``."""
        return await self._upstream.get(request, timeout=timeout)

    def end(self, call_id: str) -> bool:
        """Close the socket of this call soon; False where it is not held here."""
        socket = self._held.pop(call_id, None)
        if socket is None:
            return False
        self._in_background(_closed(socket, NORMAL))
        return True

    async def close(self) -> None:
        """Close every socket that is held, and the upstream."""
        self._closing = True
        sockets, self._held = list(self._held.values()), {}
        for socket in sockets:
            self._in_background(_closed(socket, GOING_AWAY))
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=3 * CLOSE_SECONDS)
            for task in unfinished:
                task.cancel()
        await self._upstream.close()

    async def _exchange(
        self, request: UpstreamRequest, exchange: Exchange, timeout: float, more: Mapping[str, str]
    ) -> UpstreamResponse:
        self._under_way += 1
        try:
            async with asyncio.timeout(timeout):
                try:
                    socket = await self._opened(request, timeout, more)
                except AttachRefused as refused:
                    return refused.response
                return await self._asked(socket, request.body, exchange)
        except TimeoutError as error:
            raise NoAnswer(timed_out=True) from error
        finally:
            self._under_way -= 1

    async def _opened(self, request: UpstreamRequest, timeout: float, more: Mapping[str, str]) -> EventSocket:
        seconds = min(self._handshake_seconds, timeout * _HANDSHAKE_SHARE)
        try:
            return await self._sockets.open(request, timeout=seconds, more=more)
        except NoAnswer as failure:
            # The handshake has no part of the offer in it.
            raise NotConnected from failure

    async def _asked(self, socket: EventSocket, offer: bytes, exchange: Exchange) -> UpstreamResponse:
        keeps = False
        try:
            await socket.send(offer.decode())
            event, text = await _answer(socket, exchange)
            keeps = event["type"] in exchange.answered_by and isinstance(event.get(exchange.sdp_field), str)
            if keeps:
                self._hold(socket, event.get(exchange.call_field))
            return UpstreamResponse(SWITCHING_PROTOCOLS, NO_HEADERS, text.encode())
        except (ConnectionError, _NotAnswered) as error:
            log.warning("exchange_broke_off", reason=str(error))
            raise NoAnswer(timed_out=False) from error
        finally:
            if not keeps:
                # Should the provider make a call after all, nobody uses it.
                self._in_background(_closed(socket, NORMAL))

    def _hold(self, socket: EventSocket, call_id: object) -> None:
        # One without a name is held all the same: its call may depend on it. No call has such an id.
        name = call_id if isinstance(call_id, str) and is_call_id(call_id) else f"?{id(socket)}"
        # A provider that gives two calls one name gets no second socket held.
        self.end(name)
        self._held[name] = socket
        self._in_background(self._watch(name, socket))

    async def _watch(self, name: str, socket: EventSocket) -> None:
        """Read the socket to its end."""
        closed: Closed | None = None
        try:
            async with asyncio.timeout(LONGEST_HOLD_SECONDS):
                while not isinstance(closed, Closed):
                    received = await socket.receive()
                    closed = received if isinstance(received, Closed) else None
        except TimeoutError:
            pass
        if self._held.get(name) is not socket:
            # We are ending it ourselves, with a code of our choice.
            return
        del self._held[name]
        await _closed(socket, NORMAL)
        log.info("held_socket_ended", call_id=name, code=closed.code if closed is not None else None)
        if is_call_id(name):
            self.on_end(name)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="exchange")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _answer(socket: EventSocket, exchange: Exchange) -> tuple[dict[str, Any], str]:
    """The message that answers, and its text.

    Raises:
        _NotAnswered: the socket ended, or something came that is no event, or too much.
    """
    size = 0
    for _ in range(MOST_SKIPPED + 1):
        received = await socket.receive()
        if isinstance(received, Closed):
            raise _NotAnswered(f"closed with {received.code}")
        size += len(received)
        if size > MOST_SKIPPED_BYTES:
            break
        try:
            event = orjson.loads(received)
        except orjson.JSONDecodeError:
            raise _NotAnswered("no JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise _NotAnswered("no event")
        if event["type"] in exchange.answered_by or event["type"] in exchange.refused_by:
            return event, received
    raise _NotAnswered("too many messages before the answer")


async def _closed(socket: EventSocket, code: int) -> None:
    await socket.close(code, "")
