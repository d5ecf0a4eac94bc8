"""A provider that asks for a client certificate: it gets ours, and without one it answers nothing."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.outbound.client import UpstreamClient
from app.outbound.egress import BadFile, Certificates, Egress, parse_proxy
from app.outbound.reach import Unreachable, reach
from app.outbound.upstream import NoAnswer, NotConnected
from tests.support.certificates import make_certificates
from tests.support.egress import ON_LOOPBACK
from tests.support.proxy import TunnelProxy
from tests.unit.outbound.client.conftest import HI, post


class Strict:
    """A provider that takes certificates of one authority only; ``names`` are those that it saw."""

    def __init__(self, folder: Path, version: ssl.TLSVersion) -> None:
        folder.mkdir(exist_ok=True)
        self.trusted, self.chain = make_certificates(folder)
        self.names: list[object] = []
        self.port = 0
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.trusted))
        self.context.load_cert_chain(self.chain)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.maximum_version = version

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.names.append(writer.get_extra_info("peercert")["subject"][0][0][1])
                writer.write(HI)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1"


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def provider(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Strict]:
    strict = Strict(tmp_path, request.param)
    server = await asyncio.start_server(strict.serve, "127.0.0.1", 0, ssl=strict.context)
    strict.port = server.sockets[0].getsockname()[1]
    yield strict
    server.close()


def files(provider: Strict) -> Certificates:
    return Certificates(ca_file=str(provider.trusted), client_cert_file=str(provider.chain))


@pytest.mark.parametrize("proxied", [False, True])
async def test_the_certificate_is_shown_directly_and_through_a_tunnel(
    provider: Strict, proxied: bool
) -> None:
    async with TunnelProxy() as proxy:
        proxies = {"https": parse_proxy(proxy.url())} if proxied else {}
        client = UpstreamClient(
            connect_timeout=5, egress=Egress(proxies, certificates=files(provider), guard=ON_LOOPBACK)
        )
        assert (await post(client, provider.url, b"")).body == b"hi"
        await client.close()
        assert provider.names == ["127.0.0.1"]
        assert len(proxy.tunnels) == int(proxied)


async def test_without_the_certificate_the_provider_is_asked_nothing(provider: Strict) -> None:
    """With TLS 1.3 the refusal may come after the request was written; then it is like a lost answer."""
    egress = Egress(certificates=Certificates(ca_file=str(provider.trusted)), guard=ON_LOOPBACK)
    client = UpstreamClient(connect_timeout=5, egress=egress)
    with pytest.raises((NotConnected, NoAnswer)) as failure:
        await post(client, provider.url, b"")
    await client.close()
    assert provider.names == []
    if provider.context.maximum_version is ssl.TLSVersion.TLSv1_2:
        assert failure.type is NotConnected
        with pytest.raises(Unreachable) as unreachable:
            await reach(provider.url, seconds=5, egress=egress)
        assert unreachable.value.stage == "tls"
        assert "client certificate" in str(unreachable.value)


async def test_new_connections_take_the_files_that_were_read_last(tmp_path: Path) -> None:
    """Two providers of one authority each, and one pair of files: first of the one, then of the other."""
    one, other = (Strict(tmp_path / name, ssl.TLSVersion.TLSv1_2) for name in ("one", "other"))
    trusted, chain = tmp_path / "ca.pem", tmp_path / "pair.pem"
    certificates = Certificates(ca_file=str(trusted), client_cert_file=str(chain))

    def put(of: Strict) -> None:
        shutil.copy(of.trusted, trusted)
        shutil.copy(of.chain, chain)

    put(one)
    servers = []
    for strict in (one, other):
        server = await asyncio.start_server(strict.serve, "127.0.0.1", 0, ssl=strict.context)
        strict.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    egress = Egress(certificates=certificates, guard=ON_LOOPBACK)
    client = UpstreamClient(connect_timeout=5, egress=egress, keepalive=1000)
    assert (await post(client, one.url, b"")).body == b"hi"
    put(other)
    with pytest.raises(NotConnected):
        await post(client, other.url, b"")

    certificates.use(certificates.read())
    assert (await post(client, other.url, b"")).body == b"hi"
    assert (await post(client, one.url, b"")).body == b"hi", "an open connection goes on"
    chain.write_text("half written")
    with pytest.raises(BadFile):
        certificates.read()
    assert (await post(client, other.url, b"")).body == b"hi"
    await client.close()
    for server in servers:
        server.close()
    assert (len(one.names), len(other.names)) == (2, 2)
