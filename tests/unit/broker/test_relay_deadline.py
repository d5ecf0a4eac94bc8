"""A relay keeps its deadline in whatever manner the provider is slow, and no offer is sent twice.

The whole service but its HTTP front, over the in-process store, in virtual time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import orjson
import pytest
from aiohttp import web

from app.errors import (
    CloakroomError,
    OutcomeUnknown,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.main import create_app
from app.models import Client, Family, HandleClaims, MintRequest, Sender
from app.settings import load_settings
from app.telemetry.timings import Timings
from app.web.appkeys import MINTER, RELAY
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.unit.outbound.peer import Peer, Reply, full_listener, saying
from tests.unit.values import EPHEMERAL_KEY, offer

pytestmark = pytest.mark.virtual_time

DEADLINE = 6.0
# What the promise allows.
LATEST = DEADLINE * 1.05
SHOP, REQUEST = Client("shop"), MintRequest("gpt-realtime", Family.REALTIME, {})
CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n"


def now() -> float:
    return asyncio.get_running_loop().time()


def after(seconds: float, reply: Reply) -> Reply:
    async def later(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await reply(writer)

    return later


def dripping(first: bytes, again: bytes, every: float = 1.5) -> Reply:
    """Something of an answer again and again, without an end."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(every)

    return reply


async def flooding(writer: asyncio.StreamWriter) -> None:
    writer.write(CREATED + b"Transfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()


@dataclass
class Caller:
    """One handle at one replica."""

    app: web.Application
    handle: HandleClaims
    peer: Peer
    # What the provider answers to mints.
    minting: list[Reply]

    async def mint(self) -> CloakroomError | None:
        try:
            await self.app[MINTER].mint(SHOP, REQUEST, Timings())
        except CloakroomError as error:
            return error
        return None

    async def relay(self, sdp: bytes) -> CloakroomError | None:
        started = now()
        try:
            await self.app[RELAY].relay(self.handle, offer(sdp), Sender(), Timings())
        except CloakroomError as error:
            return error
        finally:
            assert now() - started <= LATEST
        return None

    @property
    def offers(self) -> int:
        return sum(b"/realtime/calls " in request for request in self.peer.requests)


Call = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with AsyncExitStack() as resources:

        async def start(reply: Reply, **settings: str) -> Caller:
            minted = {"value": EPHEMERAL_KEY, "expires_at": int(time.time()) + 600, "session": {}}
            body = orjson.dumps(minted)
            # The offer needs a connection of its own.
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            minting = [saying(head + body)]

            async def by_path(writer: asyncio.StreamWriter) -> None:
                await (reply if b"/realtime/calls " in peer.requests[-1] else minting[0])(writer)

            peer = Peer(by_path)
            url = await peer.start()
            resources.push_async_callback(peer.close)
            environment = Planted().environment(
                **{
                    "CLOAKROOM_REDIS_URL": "memory://",
                    "CLOAKROOM_RELAY_TIMEOUT_SECONDS": f"{DEADLINE:g}",
                    "CLOAKROOM_CONNECT_TIMEOUT_SECONDS": "1",
                    "OPENAI_API_KEY": "sk-not-a-real-one-0123456789",
                    "OPENAI_BASE_URL": url.removesuffix("/realtime/calls"),
                    **settings,
                }
            )
            app = create_app(load_settings(environment), monotonic=now)
            runner = web.AppRunner(app)
            await runner.setup()
            resources.push_async_callback(runner.cleanup)
            # Away from the moment of a probe: on Python 3.11 the driver's pool swallows a cancellation there.
            resources.push_async_callback(asyncio.sleep, 0.1)
            made = await app[MINTER].mint(SHOP, REQUEST, Timings())
            return Caller(app, HandleClaims(made.handle_id, made.expires_at), peer, minting)

        yield start


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(saying(), UpstreamTimeout, id="silent"),
        pytest.param(after(DEADLINE - 1, saying()), UpstreamTimeout, id="silent for long"),
        pytest.param(dripping(b"HTTP/1.1 201 Created\r\nX: ", b"x"), UpstreamTimeout, id="dripping head"),
        pytest.param(
            dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), UpstreamTimeout, id="dripping interim answers"
        ),
        pytest.param(
            dripping(CREATED + b"Content-Length: 2000\r\n\r\nv=0\r\n", b"a"),
            UpstreamTimeout,
            id="dripping body",
        ),
        pytest.param(
            dripping(CREATED + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nv\r\n"),
            UpstreamTimeout,
            id="dripping chunks",
        ),
        pytest.param(
            dripping(CREATED + b"\r\nv=0\r\n", b"a=b\r\n"), UpstreamTimeout, id="body without an end"
        ),
        pytest.param(flooding, OutcomeUnknown, id="body without an end, fast"),
        pytest.param(after(DEADLINE - 1, saying(then_close=True)), OutcomeUnknown, id="late cut"),
        pytest.param(
            after(DEADLINE - 1, saying(b"HTTP/1.1 503 No\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n")),
            UpstreamError,
            id="late refusal",
        ),
    ],
)
async def test_a_slow_answer_ends_with_the_deadline_and_the_offer_was_sent_once(
    call: Call, reply: Reply, expected: type[CloakroomError]
) -> None:
    caller = await call(reply)
    sdp = fresh_offer()
    assert isinstance(await caller.relay(sdp), expected)
    if expected is not UpstreamError:
        assert isinstance(await caller.relay(sdp), OutcomeUnknown)
    assert caller.offers == 1


@pytest.mark.parametrize("connect_timeout", ["1", "4.5", "5.8", "60"])
async def test_slow_connecting_shares_the_deadline_with_its_second_try(
    call: Call, connect_timeout: str
) -> None:
    caller = await call(saying(), CLOAKROOM_CONNECT_TIMEOUT_SECONDS=connect_timeout)
    await caller.peer.close()
    with full_listener("127.0.0.1", caller.peer.port):
        assert isinstance(await caller.relay(fresh_offer()), UpstreamUnreachable)
    assert caller.offers == 0


async def test_a_second_try_that_connects_has_the_rest_of_the_time_for_its_answer(call: Call) -> None:
    caller = await call(saying(), CLOAKROOM_CONNECT_TIMEOUT_SECONDS="3.6")
    await caller.peer.close()
    with full_listener("127.0.0.1", caller.peer.port):
        relaying = asyncio.create_task(caller.relay(fresh_offer()))
        await asyncio.sleep(3.3)
    again = Peer(saying())
    await again.start(caller.peer.port)
    assert isinstance(await relaying, UpstreamTimeout)
    assert len(again.requests) == 1
    await again.close()


async def test_an_open_breaker_of_the_mints_does_not_hold_an_offer_back(call: Call) -> None:
    """A relay has one place to go to, and its handle's time runs: to ask can only help."""
    sdp = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    answer = CREATED + b"Location: /v1/realtime/calls/rtc_1\r\nContent-Length: %d\r\n\r\n" % len(sdp) + sdp
    caller = await call(saying(answer))
    caller.minting[0] = saying(then_close=True)
    error: CloakroomError | None = None
    while not isinstance(error, UpstreamUnavailable):
        error = await caller.mint()
        assert error is not None
    assert await caller.relay(fresh_offer()) is None
    assert caller.offers == 1
