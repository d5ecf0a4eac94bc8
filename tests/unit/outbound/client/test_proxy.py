"""Requests through a proxy: real tunnels, real TLS in them, and that a failing proxy never gets a request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.outbound.client import UpstreamClient
from app.outbound.egress import Certificates, Egress, parse_proxy
from app.outbound.upstream import NoAnswer, NotConnected
from tests.support.certificates import make_certificates
from tests.support.egress import ON_LOOPBACK
from tests.support.proxy import TunnelProxy
from tests.unit.outbound.client.conftest import HI, StartPeer, post
from tests.unit.outbound.peer import OK, saying

PASSWORD = "p:w@rd/of%the-test"
ENCODED = "p%3Aw%40rd%2Fof%25the-test"
StartProxy = Callable[..., Awaitable[TunnelProxy]]
MakeClient = Callable[..., UpstreamClient]


@pytest.fixture
async def proxy() -> AsyncIterator[StartProxy]:
    async with AsyncExitStack() as stack:

        async def start(**how: Any) -> TunnelProxy:
            return await stack.enter_async_context(TunnelProxy(**how))

        yield start


@pytest.fixture
async def through() -> AsyncIterator[MakeClient]:
    """A client that goes through the proxy of a URL."""
    clients: list[UpstreamClient] = []

    def client(url: str, *, no_proxy: str = "", connect_timeout: float = 5, **files: str) -> UpstreamClient:
        one = parse_proxy(url)
        egress = Egress(
            {"http": one, "https": one}, no_proxy, "A_SETTING", Certificates(**files), ON_LOOPBACK
        )
        clients.append(UpstreamClient(connect_timeout=connect_timeout, egress=egress))
        return clients[-1]

    yield client
    for one in clients:
        await one.close()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[str, Path, Path]]:
    """A provider with TLS: its URL, the CA's file, and the certificate's with its key."""
    trusted, chain = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"roxy" not in head
                if b"Content-Length: 9" in head:
                    await reader.readexactly(9)
                writer.write(HI)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", trusted, chain
    server.close()


def authority(url: str) -> str:
    return url.split("/")[2]


async def test_requests_share_one_tunnel_and_the_provider_sees_no_credentials(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    there, url = await peer(saying(HI))
    gate = await proxy(user="cloak", password=PASSWORD)
    client = through(gate.url(password=ENCODED))
    for _ in range(3):
        assert (await post(client, url)).body == b"hi"
    assert (gate.tunnels, gate.refused, there.connections) == ([authority(url)], 0, 1)
    assert len(there.requests) == 3
    assert all(b"roxy" not in request for request in there.requests)
    assert all(b"offer" not in head for head in gate.before)


async def test_tls_goes_through_the_tunnel_to_the_provider_itself(
    proxy: StartProxy, through: MakeClient, secure: tuple[str, Path, Path]
) -> None:
    url, trusted, _ = secure
    gate = await proxy(user="cloak", password=PASSWORD)
    client = through(gate.url(password=ENCODED), ca_file=str(trusted))
    answers = await asyncio.gather(*(post(client, url) for _ in range(5)))
    assert {answer.body for answer in answers} == {b"hi"}
    assert set(gate.tunnels) == {authority(url)}
    assert 1 <= len(gate.tunnels) <= 5


async def test_a_proxy_that_speaks_tls_itself(
    proxy: StartProxy, through: MakeClient, peer: StartPeer, secure: tuple[str, Path, Path]
) -> None:
    url, trusted, chain = secure
    _, plain = await peer(saying(HI))
    gate = await proxy(user="cloak", password=PASSWORD, chain=chain)
    client = through(gate.url(password=ENCODED), ca_file=str(trusted))
    for target in (url, plain):
        for _ in range(2):
            assert (await post(client, target)).body == b"hi"
    assert gate.tunnels == [authority(url), authority(plain)]
    with pytest.raises(NotConnected) as failure:
        await post(through(gate.url(password=ENCODED)), url)
    assert "the proxy 127.0.0.1" in str(failure.value.__cause__)
    assert "certificate is not trusted" in str(failure.value.__cause__)


async def test_a_provider_behind_the_proxy_that_is_not_trusted_gets_nothing(
    proxy: StartProxy, through: MakeClient, secure: tuple[str, Path, Path]
) -> None:
    gate = await proxy()
    with pytest.raises(NotConnected) as failure:
        await post(through(gate.url()), secure[0])
    assert str(failure.value.__cause__).startswith("its certificate is not trusted: ")
    assert len(gate.tunnels) == 1


async def test_a_host_of_no_proxy_is_reached_directly(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    _, url = await peer(saying(HI))
    gate = await proxy()
    assert (await post(through(gate.url(), no_proxy="example.com,127.0.0.1"), url)).body == b"hi"
    assert (await post(through(gate.url(), no_proxy=f"127.0.0.1:{int(url.split(':')[2][:5]) + 1}"), url)).body
    assert gate.tunnels == [authority(url)]


@pytest.mark.parametrize(
    ("how", "credentials", "reason"),
    [
        (
            {"user": "cloak", "password": "right"},
            {"password": "wrong"},
            "refused the user or the password (407)",
        ),
        ({"answer": b"HTTP/1.1 403 Forbidden\r\n\r\n"}, {}, "opens no tunnel (status 403)"),
        ({"answer": b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"}, {}, "opens no tunnel (status 302)"),
        ({"answer": b"SSH-2.0-OpenSSH_9.2\r\n\r\n"}, {}, "does not answer as an HTTP proxy"),
        ({"answer": b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}, {}, "sent more than its answer"),
        ({"answer": b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000}, {}, "sent more than its answer"),
        ({"answer": b""}, {}, "closed the connection"),
        ({"answer": b"HTTP/1.1 200"}, {}, "closed the connection"),
    ],
    ids=["wrong password", "forbidden", "redirect", "no HTTP", "an answer too many", "endless", "end", "cut"],
)
async def test_a_proxy_that_opens_no_tunnel_means_not_connected(
    how: dict[str, Any],
    credentials: dict[str, str],
    reason: str,
    proxy: StartProxy,
    through: MakeClient,
    peer: StartPeer,
) -> None:
    there, url = await peer(saying(HI))
    gate = await proxy(**how)
    with structlog.testing.capture_logs() as logs, pytest.raises(NotConnected) as failure:
        await post(through(gate.url(**credentials)), url)
    assert reason in str(failure.value.__cause__)
    assert [line["event"] for line in logs] == ["proxy_failed"]
    assert f"127.0.0.1:{gate.port}" in logs[0]["reason"]
    assert (there.requests, gate.tunnels) == ([], [])
    assert all(b"offer" not in head for head in gate.before)
    assert "wrong" not in f"{failure.value!r} {failure.value.__cause__!r} {logs}"


async def test_credentials_that_are_missing_are_told_from_wrong_ones(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    _, url = await peer(saying(HI))
    gate = await proxy(user="cloak", password="right")
    with pytest.raises(NotConnected) as failure:
        await post(through(f"http://127.0.0.1:{gate.port}"), url)
    assert "wants a user and a password (407)" in str(failure.value.__cause__)


async def test_a_proxy_that_is_silent_or_gone_means_not_connected(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    there, url = await peer(saying(HI))
    gate = await proxy(silent=True)
    with pytest.raises(NotConnected):
        await post(through(gate.url(), connect_timeout=0.3), url)
    with pytest.raises(NotConnected) as failure:
        await post(through("http://127.0.0.1:1"), url)
    assert str(failure.value.__cause__) == (
        "the proxy 127.0.0.1:1 cannot be reached: nothing listens on that port"
    )
    assert there.requests == []


async def test_a_tunnel_that_breaks_after_the_request_is_no_answer_and_nothing_is_resent(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    there, url = await peer(saying(OK + b"\r\nh", then_close=True))
    gate = await proxy()
    with pytest.raises(NoAnswer) as failure:
        await post(through(gate.url()), url)
    assert not failure.value.timed_out
    assert (len(there.requests), len(gate.tunnels)) == (1, 1)


async def test_a_provider_that_is_slow_behind_a_proxy_is_a_timeout(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    there, url = await peer(saying(OK))
    with pytest.raises(NoAnswer) as failure:
        await post(through((await proxy()).url()), url, timeout=0.5)
    assert failure.value.timed_out
    assert len(there.requests) == 1


async def test_a_kept_tunnel_that_the_proxy_ended_is_replaced(
    proxy: StartProxy, through: MakeClient, peer: StartPeer
) -> None:
    there, url = await peer(saying(OK + b"Connection: close\r\n\r\nhi"))
    gate = await proxy()
    client = through(gate.url())
    for _ in range(2):
        assert (await post(client, url)).body == b"hi"
    assert (len(gate.tunnels), len(there.requests)) == (2, 2)
