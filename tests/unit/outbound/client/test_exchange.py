"""Offers over a WebSocket: what is sent again and what never is, what is skipped, which sockets stay open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from app.errors import Overloaded
from app.outbound.client import UpstreamClient
from app.outbound.exchange import MOST_SKIPPED, Exchanges
from app.outbound.sideband import SidebandClient
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import Exchange, UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings
from tests.support.clocks import eventually
from tests.support.egress import here

EXCHANGE = Exchange(frozenset({"created"}), frozenset({"error"}), sdp_field="sdp", call_field="id")
CREATED = {"type": "created", "id": "rtc_1", "sdp": "v=0"}
LARGEST = 100_000

Serve = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


class Far:
    """The other end: its handshakes, the offers that came, and the sockets that ended."""

    def __init__(self, serve: Serve, *, handshake: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.handshakes = 0
        self.offers: list[str] = []
        self.ended: list[int | None] = []
        self._serve, self._handshake = serve, handshake

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.handshakes += 1
        if self._handshake is not None and (refusal := await self._handshake()) is not None:
            return refusal  # type: ignore[no-any-return]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            self.offers.append(message.data)
            await self._serve(socket, request)
            while not socket.closed:
                await socket.receive()
        self.ended.append(socket.close_code)
        return socket


@asynccontextmanager
async def between(
    far: Far, *, most: int = 10, handshake_seconds: float = 30.0
) -> AsyncIterator[tuple[Exchanges, UpstreamRequest]]:
    """The exchanges of a client, and a request that goes to ``far``."""
    app = web.Application()
    app.router.add_get("/calls", far.handle)
    server = TestServer(app)
    await server.start_server()
    sockets = SidebandClient(connect_timeout=30.0, largest=LARGEST, egress=here())
    exchanges = Exchanges(
        UpstreamClient(connect_timeout=30.0, egress=here()),
        sockets,
        handshake_seconds=handshake_seconds,
        most=most,
    )
    url = str(server.make_url("/calls")).replace("http", "ws", 1)
    try:
        yield exchanges, UpstreamRequest(url, {"api-key": "k"}, b'{"offer": 1}', exchange=EXCHANGE)
    finally:
        await exchanges.close()
        await sockets.close()
        await server.close()


def saying(*events: Any) -> Serve:
    async def serve(socket: web.WebSocketResponse, _: web.Request) -> None:
        for event in events:
            if isinstance(event, bytes):
                await socket.send_bytes(event)
            else:
                await socket.send_str(event if isinstance(event, str) else json.dumps(event))

    return serve


async def post(
    exchanges: Exchanges, request: UpstreamRequest, *, timeout: float = 60.0
) -> tuple[UpstreamResponse, Timings]:
    timings = Timings(deployment="live")
    return await exchanges.post(request, timeout=timeout, timings=timings), timings


async def test_the_body_is_the_first_message_and_the_answer_is_the_first_that_counts() -> None:
    far = Far(saying({"type": "session.created"}, {"type": "session.updated"}, CREATED))
    async with between(far) as (exchanges, request):
        response, timings = await post(exchanges, request)
        assert (response.status, json.loads(response.body)) == (101, CREATED)
        assert far.offers == ['{"offer": 1}']
        assert [(one.outcome, one.status) for one in timings.tries] == [("answered", 101)]
        assert exchanges.held == ["rtc_1"]


async def test_the_socket_is_held_until_it_is_ended_and_events_on_it_are_dropped() -> None:
    far = Far(saying(CREATED, *({"type": "response.done"} for _ in range(200))))
    async with between(far) as (exchanges, request):
        told: list[str] = []
        exchanges.on_end = told.append
        await post(exchanges, request)
        assert (exchanges.end("rtc_2"), exchanges.end("rtc_1"), exchanges.end("rtc_1")) == (
            False,
            True,
            False,
        )
        await eventually(lambda: far.ended == [1000])
        assert told == []


async def test_the_end_of_a_held_socket_is_told_once() -> None:
    async def serve(socket: web.WebSocketResponse, _: web.Request) -> None:
        await socket.send_str(json.dumps(CREATED))
        await socket.close(code=1001)

    async with between(Far(serve)) as (exchanges, request):
        told: list[str] = []
        exchanges.on_end = told.append
        await post(exchanges, request)
        await eventually(lambda: told)
        assert (told, exchanges.held, exchanges.end("rtc_1")) == (["rtc_1"], [], False)


async def test_a_refusal_is_the_answer_and_its_socket_is_closed() -> None:
    far = Far(saying({"type": "error", "error": {"code": "no"}}))
    async with between(far) as (exchanges, request):
        response, _ = await post(exchanges, request)
        assert json.loads(response.body)["error"] == {"code": "no"}
        await eventually(lambda: far.ended)
        assert exchanges.held == []


@pytest.mark.parametrize(
    "events",
    [
        ["no json"],
        ["[1]"],
        [{"type": 7}],
        [b"\x00binary"],
        [{"type": "session.updated", "text": "x" * (LARGEST + 1)}],
        [{"type": "session.updated"}] * (MOST_SKIPPED + 1),
        [{"type": "session.updated", "text": "x" * (LARGEST - 100)}] * 12,
    ],
    ids=["text", "list", "number", "binary", "large", "many", "much"],
)
async def test_what_is_no_answer_ends_the_exchange_without_another_one(events: list[Any]) -> None:
    far = Far(saying(*events))
    async with between(far) as (exchanges, request):
        with pytest.raises(NoAnswer) as failed:
            await post(exchanges, request)
        assert not failed.value.timed_out
        assert (far.handshakes, len(far.offers)) == (1, 1)
        await eventually(lambda: far.ended)
        assert exchanges.held == []


async def test_a_socket_that_breaks_after_the_offer_is_no_answer() -> None:
    async def cut(_: web.WebSocketResponse, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    far = Far(cut)
    async with between(far) as (exchanges, request):
        with pytest.raises(NoAnswer):
            await post(exchanges, request)
        assert len(far.offers) == 1


async def test_an_answer_that_does_not_come_in_time_is_not_waited_for_and_its_socket_is_closed() -> None:
    far = Far(saying({"type": "session.created"}))
    async with between(far) as (exchanges, request):
        with pytest.raises(NoAnswer) as failed:
            await post(exchanges, request, timeout=0.5)
        assert failed.value.timed_out
        await eventually(lambda: far.ended)


async def test_a_handshake_that_is_not_done_in_time_has_sent_nothing() -> None:
    never = asyncio.Event()
    far = Far(saying(CREATED), handshake=never.wait)
    async with between(far, handshake_seconds=0.2) as (exchanges, request):
        timings = Timings(deployment="live")
        with pytest.raises(NotConnected):
            await exchanges.post(request, timeout=60.0, timings=timings)
        assert (far.offers, [one.outcome for one in timings.tries]) == ([], ["unreachable"])
        never.set()


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/", "ws:///nowhere", "ftp://x/"])
async def test_what_cannot_be_reached_was_not_sent(url: str) -> None:
    async with between(Far(saying())) as (exchanges, request):
        with pytest.raises(NotConnected):
            await post(exchanges, UpstreamRequest(url, {}, request.body, exchange=EXCHANGE))


async def test_a_refused_handshake_is_the_answer_with_its_status_and_headers() -> None:
    async def refuse() -> web.Response:
        return web.json_response(
            {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "3"}
        )

    far = Far(saying(), handshake=refuse)
    async with between(far) as (exchanges, request):
        response, _ = await post(exchanges, request)
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert json.loads(response.body)["error"]["message"] == "slow down"


async def test_no_more_are_begun_than_may_be_held() -> None:
    far = Far(saying(CREATED))
    async with between(far, most=1) as (exchanges, request):
        await post(exchanges, request)
        with pytest.raises(Overloaded):
            await post(exchanges, request)
        assert far.handshakes == 1
        exchanges.end("rtc_1")
        await post(exchanges, request)


@pytest.mark.parametrize("name", [None, 7, "a b", ""])
async def test_a_call_without_a_name_has_its_socket_held_all_the_same(name: Any) -> None:
    far = Far(saying({**CREATED, "id": name}))
    async with between(far, most=1) as (exchanges, request):
        await post(exchanges, request)
        assert exchanges.held == []
        with pytest.raises(Overloaded):
            await post(exchanges, request)
        assert far.ended == []


async def test_a_cancelled_exchange_closes_its_socket() -> None:
    far = Far(saying())
    async with between(far) as (exchanges, request):
        task = asyncio.create_task(post(exchanges, request))
        await eventually(lambda: far.offers)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: far.ended)


async def test_closing_closes_what_is_held_as_one_that_goes_away() -> None:
    far = Far(saying(CREATED))
    async with between(far) as (exchanges, request):
        await post(exchanges, request)
        await exchanges.close()
        await eventually(lambda: far.ended == [1001])
        with pytest.raises(Overloaded):
            await post(exchanges, request)
