"""The outbound client over real sockets: what each failure proves, and that nothing is ever sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from app.outbound.client import UpstreamClient
from app.outbound.http1 import MAX_ANSWER_BYTES
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import UpstreamRequest
from app.telemetry.timings import Timings
from tests.support.clocks import PATIENCE, eventually
from tests.support.egress import here
from tests.unit.outbound.peer import OK, Peer, Reply, saying
from tests.unit.values import AZURE_KEY


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(connect_timeout=PATIENCE, egress=here())
    yield client
    await client.close()


@pytest.fixture
async def peer() -> AsyncIterator[Callable[[Reply], Awaitable[tuple[Peer, UpstreamRequest]]]]:
    peers: list[Peer] = []

    async def start(reply: Reply) -> tuple[Peer, UpstreamRequest]:
        peers.append(Peer(reply))
        url = await peers[-1].start()
        return peers[-1], UpstreamRequest(url=url, headers={"api-key": AZURE_KEY}, body=b"v=0 offer")

    yield start
    for one in peers:
        await one.close()


StartPeer = Callable[[Reply], Awaitable[tuple[Peer, UpstreamRequest]]]


async def test_an_answer_comes_back_whole_with_its_headers(client: UpstreamClient, peer: StartPeer) -> None:
    there, request = await peer(saying(OK + b"X-Request-ID: req_1\r\n\r\n", b"h", b"i"))
    answer = await client.post(request, timeout=PATIENCE, timings=Timings())
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b"hi", "req_1")
    assert there.requests[0].endswith(b"\r\n\r\nv=0 offer")


async def test_a_get_carries_no_body_and_no_credential_that_it_was_not_given(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying(OK + b"Date: now\r\n\r\nhi"))
    bare = UpstreamRequest(url=request.url, headers={}, body=b"not sent")
    answer = await client.get(bare, timeout=PATIENCE)
    assert (answer.status, answer.headers["date"]) == (200, "now")
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"GET /v1/realtime/calls HTTP/1.1\r\n")
    assert body == b""
    for name in (b"authorization", b"api-key", b"cookie", b"content-length", b"content-type"):
        assert b"\n" + name not in head.lower()


async def test_a_request_of_another_method_goes_out_by_it_and_without_a_body(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying(OK + b"\r\nhi"))
    hangup = replace(request, method="DELETE", body=b"")
    await client.post(hangup, timeout=PATIENCE, timings=Timings())
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"DELETE ")
    assert b"content-length" not in head.lower()
    assert body == b""


async def test_no_listener_means_not_connected(client: UpstreamClient, peer: StartPeer) -> None:
    there, request = await peer(saying(OK + b"\r\nhi"))
    await there.close()
    with pytest.raises(NotConnected):
        await client.post(request, timeout=PATIENCE, timings=Timings())


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http://", "https://["])
async def test_a_host_that_cannot_be_found_means_not_connected(client: UpstreamClient, url: str) -> None:
    with pytest.raises(NotConnected):
        await client.post(UpstreamRequest(url=url, headers={}, body=b""), timeout=PATIENCE, timings=Timings())


@pytest.mark.virtual_time
async def test_a_peer_that_does_not_speak_tls_means_not_connected(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying(OK + b"\r\nhi"))
    secure = UpstreamRequest(request.url.replace("http:", "https:"), request.headers, request.body)
    with pytest.raises(NotConnected):
        await client.post(secure, timeout=PATIENCE, timings=Timings())
    assert not there.requests


async def test_silence_is_a_timeout_after_which_the_request_may_have_arrived(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying())
    with pytest.raises(NoAnswer) as failure:
        await client.post(request, timeout=2, timings=Timings())
    assert failure.value.timed_out
    await eventually(lambda: len(there.requests) == 1)


async def test_an_answer_that_stalls_halfway_is_a_timeout(client: UpstreamClient, peer: StartPeer) -> None:
    _, request = await peer(saying(OK + b"\r\nh"))
    with pytest.raises(NoAnswer) as failure:
        await client.post(request, timeout=2, timings=Timings())
    assert failure.value.timed_out


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((), id="before the status line"),
        pytest.param((b"HTTP/1.1 200",), id="in the status line"),
        pytest.param((OK,), id="in the headers"),
        pytest.param((OK + b"\r\nh",), id="in the body"),
        pytest.param((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",), id="in a chunk"),
    ],
)
async def test_a_line_that_drops_after_the_request_is_no_answer_and_the_request_is_not_repeated(
    client: UpstreamClient, peer: StartPeer, pieces: tuple[bytes, ...]
) -> None:
    there, request = await peer(saying(*pieces, then_close=True))
    with pytest.raises(NoAnswer) as failure:
        await client.post(request, timeout=PATIENCE, timings=Timings())
    assert not failure.value.timed_out
    assert len(there.requests) == 1


async def test_a_kept_connection_that_drops_at_the_second_request_does_not_repeat_it(
    client: UpstreamClient, peer: StartPeer
) -> None:
    """HTTP libraries like to retry here; a second offer could make a second, billed call."""

    async def once(writer: asyncio.StreamWriter) -> None:
        if len(there.requests) > 1:
            raise ConnectionResetError
        writer.write(OK + b"\r\nhi")

    there, request = await peer(once)
    await client.post(request, timeout=PATIENCE, timings=Timings())
    with pytest.raises(NoAnswer):
        await client.post(request, timeout=PATIENCE, timings=Timings())
    assert (len(there.requests), there.connections) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_no_answer(
    client: UpstreamClient, peer: StartPeer, answer: bytes
) -> None:
    there, request = await peer(saying(answer, then_close=True))
    with pytest.raises(NoAnswer):
        await client.post(request, timeout=PATIENCE, timings=Timings())
    assert len(there.requests) == 1


async def test_an_answer_larger_than_any_real_one_is_not_read_to_its_end(
    client: UpstreamClient, peer: StartPeer
) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            sent += 65_536

    _, request = await peer(endless)
    with pytest.raises(NoAnswer) as failure:
        await client.post(request, timeout=PATIENCE, timings=Timings())
    assert not failure.value.timed_out
    # What lies in socket buffers comes on top.
    assert sent < 64 * MAX_ANSWER_BYTES


async def test_an_answer_of_exactly_the_limit_is_read(client: UpstreamClient, peer: StartPeer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_ANSWER_BYTES
    _, request = await peer(saying(head, b"x" * MAX_ANSWER_BYTES))
    assert len((await client.post(request, timeout=PATIENCE, timings=Timings())).body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_handed_over_and_not_followed(
    client: UpstreamClient, peer: StartPeer, status: int
) -> None:
    """aiohttp would forward Azure's ``api-key`` header to the other origin."""
    other, elsewhere = await peer(saying(OK + b"\r\nhi"))
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
    _, request = await peer(saying(head.encode()))
    assert (await client.post(request, timeout=PATIENCE, timings=Timings())).status == status
    assert not other.requests


async def test_a_cookie_is_not_kept_since_it_would_tie_callers_together(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying(OK + b"Set-Cookie: session=shared; Path=/\r\n\r\nhi"))
    for _ in range(2):
        await client.post(request, timeout=PATIENCE, timings=Timings())
    assert len(there.requests) == 2
    assert b"cookie" not in there.requests[1].lower()


async def test_a_proxy_of_the_environment_is_not_used(
    client: UpstreamClient, peer: StartPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, address = await peer(saying(OK + b"\r\nno"))
    there, request = await peer(saying(OK + b"\r\nhi"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, address.url)
    assert (await client.post(request, timeout=PATIENCE, timings=Timings())).body == b"hi"
    assert (len(there.requests), len(proxy.requests)) == (1, 0)


async def test_what_goes_out_has_our_name_and_asks_for_no_compression(
    client: UpstreamClient, peer: StartPeer
) -> None:
    there, request = await peer(saying(OK + b"\r\nhi"))
    await client.post(request, timeout=PATIENCE, timings=Timings())
    assert b"User-Agent: cloakroom/" in there.requests[0]
    assert b"Accept-Encoding: identity" in there.requests[0]


async def test_a_failure_quotes_neither_credential_nor_offer(client: UpstreamClient, peer: StartPeer) -> None:
    _, request = await peer(saying(then_close=True))
    with pytest.raises(NoAnswer) as failure:
        await client.post(request, timeout=PATIENCE, timings=Timings())
    shown = f"{failure.value} {failure.value!r} {failure.value.__cause__!r}"
    assert AZURE_KEY not in shown
    assert "offer" not in shown
