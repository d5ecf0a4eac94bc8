"""How far a host can be reached: each stage, its time, and its own reason for failing."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.outbound.egress import Egress
from app.outbound.reach import Unreachable, reach
from tests.support.certificates import make_certificates
from tests.support.egress import HERE, ON_LOOPBACK

pytestmark = pytest.mark.virtual_time


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    """The port of a listener that accepts and stays silent."""
    server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def refused(url: str, *, seconds: float = 2.0) -> Unreachable:
    with pytest.raises(Unreachable) as failure:
        await reach(url, seconds=seconds, egress=HERE)
    return failure.value


async def test_a_listener_is_reached_without_a_byte_being_sent() -> None:
    received: list[bytes] = []
    gone = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            received.append(await reader.read())
        except ConnectionError:
            received.append(b"")
        writer.close()
        gone.set()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    ticks = map(float, itertools.accumulate(itertools.count(1)))
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}/v1"
    found = await reach(url, seconds=2, egress=HERE, now=lambda: next(ticks))
    await gone.wait()
    server.close()
    assert received == [b""]
    assert found.address == "127.0.0.1"
    assert found.tls is None
    # The clock says 1, 3 and 6.
    assert (found.name, found.connect) == (2, 3)


async def test_a_name_that_nobody_knows(plain: int) -> None:
    failure = await refused(f"http://no-such-host.invalid:{plain}/v1")
    assert (failure.stage, str(failure)) == ("name", "the name is not known here")


async def test_a_port_that_nobody_listens_on() -> None:
    failure = await refused("http://127.0.0.1:1/v1")
    assert (failure.stage, str(failure)) == ("connect", "nothing listens on that port")


async def test_a_listener_that_does_not_speak_tls(plain: int) -> None:
    async def in_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(in_clear, "127.0.0.1", 0)
    failure = await refused(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    server.close()
    assert (failure.stage, str(failure)) == ("tls", "what listens there does not speak TLS")


async def test_a_listener_that_is_silent_is_given_up_in_time(plain: int) -> None:
    started = asyncio.get_running_loop().time()
    failure = await refused(f"https://127.0.0.1:{plain}/v1", seconds=0.3)
    assert asyncio.get_running_loop().time() == pytest.approx(started + 0.3)
    assert (failure.stage, str(failure)) == ("tls", "no answer within 0.3 s")


async def test_a_certificate_that_is_not_trusted_and_one_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, chain = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    failure = await refused(url)
    assert failure.stage == "tls"
    assert str(failure).startswith("its certificate is not trusted: ")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    found = await reach(url, seconds=2, egress=Egress(guard=ON_LOOPBACK))
    server.close()
    assert found.tls is not None


async def test_an_address_that_swallows_packets_does_not_hide_one_that_answers(
    plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A full backlog swallows connections as a firewall does.
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.2", plain))
        deaf.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", plain))
        loop = asyncio.get_running_loop()
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, plain)) for ip in ("127.0.0.2", "127.0.0.1")]
        lookup = loop.getaddrinfo

        async def two_addresses(host: str, port: int, **more: int) -> object:
            return both if host == "two.example" else await lookup(host, port, **more)

        monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
        found = await reach(f"http://two.example:{plain}/", seconds=3, egress=HERE)
    assert found.address == "127.0.0.1"
