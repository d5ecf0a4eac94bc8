"""A sideband's handshake: the way out, what is refused, what is never followed, and how a socket ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.outbound.egress import Certificates, Egress, parse_proxy
from app.outbound.sideband import AttachRefused, Closed, SidebandClient
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import UpstreamRequest
from app.telemetry.timings import Timings
from tests.support.certificates import make_certificates
from tests.support.egress import ON_LOOPBACK, here
from tests.support.proxy import TunnelProxy
from tests.unit.outbound.client.conftest import StartPeer
from tests.unit.outbound.peer import saying

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = {"Authorization": "Bearer sk-standard-0123456789"}


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.data == "leave":
            await socket.close(code=4001, message=b"enough")
        else:
            await socket.send_str(f"{request.headers['Authorization']} {message.data}")
    return socket


class Place:
    """A server with one path, of this test's handler; it wants a client certificate where it has TLS."""

    def __init__(self, folder: Path) -> None:
        self.trusted, self.chain = make_certificates(folder)
        self._servers: list[TestServer] = []

    async def start(self, handler: Handler, *, tls: bool) -> str:
        app = web.Application()
        app.router.add_get("/v1/realtime", handler)
        server, context = TestServer(app), None
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.trusted))
            context.load_cert_chain(self.chain)
            context.verify_mode = ssl.CERT_REQUIRED
        await server.start_server(ssl=context)
        self._servers.append(server)
        return f"ws{'s' if tls else ''}://127.0.0.1:{server.port}/v1/realtime?call_id=rtc_1"

    @property
    def files(self) -> Certificates:
        return Certificates(ca_file=str(self.trusted), client_cert_file=str(self.chain))

    async def close(self) -> None:
        for server in self._servers:
            await server.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    one = Place(tmp_path)
    yield one
    await one.close()


def asked(url: str) -> UpstreamRequest:
    return UpstreamRequest(url, SECRET, b"")


@pytest.mark.parametrize("proxied", [False, True])
async def test_the_handshake_takes_the_way_of_every_request_with_our_ca_and_certificate(
    place: Place, proxied: bool
) -> None:
    url = await place.start(echo, tls=True)
    async with TunnelProxy(user="cloak", password="p:w@rd") as proxy:
        proxies = {"https": parse_proxy(proxy.url(password="p%3Aw%40rd"))} if proxied else {}
        egress = Egress(proxies, certificates=place.files, guard=ON_LOOPBACK)
        client, timings = SidebandClient(connect_timeout=5, largest=4096, egress=egress), Timings()
        socket = await client.attach(asked(url), timeout=5, timings=timings)
        await socket.send("hi")
        assert await socket.receive() == "Bearer sk-standard-0123456789 hi"
        await socket.close(1000, "")
        await client.close()
        assert [(one.outcome, one.status) for one in timings.tries] == [("answered", 101)]
        assert len(proxy.tunnels) == int(proxied)
        assert b"sk-standard" not in b"".join(proxy.before)


async def test_a_server_of_another_authority_gets_no_credential(place: Place) -> None:
    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    with pytest.raises(NotConnected):
        await client.attach(asked(await place.start(echo, tls=True)), timeout=5, timings=Timings())
    await client.close()


@pytest.mark.parametrize("status", [401, 404, 500, 200, 302])
async def test_a_refusal_keeps_its_body_and_a_redirect_is_not_followed(place: Place, status: int) -> None:
    hits: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        hits.append(request.path)
        return web.Response(status=status, text='{"error": {}}', headers={"Location": "/elsewhere"})

    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    with pytest.raises(AttachRefused) as refused:
        await client.attach(asked(await place.start(refuse, tls=False)), timeout=5, timings=Timings())
    await client.close()
    assert (refused.value.response.status, refused.value.response.body) == (status, b'{"error": {}}')
    assert hits == ["/v1/realtime"]


async def test_a_refusal_without_an_end_is_read_to_its_limit(place: Place) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    with pytest.raises(AttachRefused) as refused:
        await client.attach(asked(await place.start(flood, tls=False)), timeout=5, timings=Timings())
    await client.close()
    assert len(refused.value.response.body) < 1_000_000


async def test_what_is_no_http_or_never_comes_is_no_answer(peer: StartPeer) -> None:
    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    timings = Timings()
    _, url = await peer(saying(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"))
    with pytest.raises(NoAnswer):
        await client.attach(asked(url.replace("http", "ws", 1)), timeout=5, timings=timings)
    _, url = await peer(saying())
    with pytest.raises(NoAnswer) as failure:
        await client.attach(asked(url.replace("http", "ws", 1)), timeout=0.2, timings=timings)
    await client.close()
    assert failure.value.timed_out
    assert [one.outcome for one in timings.tries] == ["cut_off", "timeout"]


async def test_a_101_that_is_no_websocket_is_no_answer(peer: StartPeer) -> None:
    _, url = await peer(
        saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    )
    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    with pytest.raises(NoAnswer):
        await client.attach(asked(url.replace("http", "ws", 1)), timeout=5, timings=Timings())
    await client.close()


async def test_each_end_of_a_socket_is_told_by_its_code(place: Place) -> None:
    url = await place.start(echo, tls=False)
    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    socket = await client.attach(asked(url), timeout=5, timings=Timings())
    await socket.send("leave")
    assert await socket.receive() == Closed(4001, "enough")
    assert isinstance(await socket.receive(), Closed)
    socket = await client.attach(asked(url), timeout=5, timings=Timings())
    await socket.send("x" * 5000)
    ended = await socket.receive()
    assert isinstance(ended, Closed)
    assert ended.code == 1009
    await client.close()


async def test_a_long_reason_is_cut_at_a_whole_character(place: Place) -> None:
    told: list[str] = []

    async def listen(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        told.append(str((await socket.receive()).extra))
        return socket

    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    socket = await client.attach(asked(await place.start(listen, tls=False)), timeout=5, timings=Timings())
    assert await socket.close(4002, "é" * 100)
    await client.close()
    assert told == ["é" * 61]


async def test_a_peer_that_takes_no_close_does_not_hold_us(place: Place) -> None:
    stuck = asyncio.Event()

    async def deaf(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await stuck.wait()
        return socket

    client = SidebandClient(connect_timeout=5, largest=4096, egress=here())
    socket = await client.attach(asked(await place.start(deaf, tls=False)), timeout=5, timings=Timings())
    await socket.close(1000, "")
    assert isinstance(await socket.receive(), Closed)
    stuck.set()
    await client.close()


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_codes_of_the_protocol_and_of_applications_are_sent(code: int) -> None:
    assert Closed(code).sendable


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_only_report_are_never_sent(code: int) -> None:
    assert not Closed(code).sendable
