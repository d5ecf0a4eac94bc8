"""TLS to a provider: whom the client trusts, and that whoever it does not trust gets no request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.outbound.upstream import NoAnswer, NotConnected
from tests.support.certificates import make_certificates
from tests.support.clocks import eventually
from tests.unit.outbound.client.conftest import HI, MakeClient, post
from tests.unit.outbound.peer import OK


class Secure:
    """A provider with a certificate for 127.0.0.1."""

    def __init__(self, chain: Path) -> None:
        self.requests: list[bytes] = []
        self.answer = HI
        self.connections = 0
        self.port = 0
        self.names: list[str | None] = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(chain)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = self._named

    def _named(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@pytest.fixture
async def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Secure]:
    trusted, chain = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    secure = Secure(chain)
    server = await asyncio.start_server(secure.serve, "127.0.0.1", 0, ssl=secure.context)
    secure.port = server.sockets[0].getsockname()[1]
    yield secure
    server.close()


async def test_a_provider_of_a_trusted_authority_is_asked_over_one_kept_connection(
    provider: Secure, make: MakeClient
) -> None:
    client = make()
    for _ in range(3):
        assert (await post(client, f"https://127.0.0.1:{provider.port}/v1", b"")).body == b"hi"
    assert (len(provider.requests), provider.connections) == (3, 1)


async def test_many_at_once_get_answers_over_tls(provider: Secure, make: MakeClient) -> None:
    size = 200_000
    provider.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    client = make()
    url = f"https://127.0.0.1:{provider.port}/v1"
    answers = await asyncio.gather(*(post(client, url, b"") for _ in range(20)))
    assert {len(answer.body) for answer in answers} == {size}


async def test_a_provider_of_another_name_is_sent_nothing(provider: Secure, make: MakeClient) -> None:
    with pytest.raises(NotConnected):
        await post(make(), f"https://localhost:{provider.port}/v1")
    assert provider.names == ["localhost"]
    assert not provider.requests


async def test_a_provider_of_an_unknown_authority_is_sent_nothing(
    provider: Secure, make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotConnected):
        await post(make(), f"https://127.0.0.1:{provider.port}/v1")
    assert not provider.requests


async def test_a_peer_that_never_answers_the_handshake_means_not_connected(make: MakeClient) -> None:
    heard: list[bytes] = []

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NotConnected):
        await post(make(connect_timeout=0.3), f"https://127.0.0.1:{port}/v1", b"v=0 offer")
    await eventually(lambda: heard)
    assert b"offer" not in heard[0]
    server.close()


async def test_a_line_that_drops_within_an_answer_over_tls_is_no_answer(
    provider: Secure, make: MakeClient
) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\nh")
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0, ssl=provider.context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NoAnswer) as failure:
        await post(make(), f"https://127.0.0.1:{port}/v1", b"")
    assert not failure.value.timed_out
    server.close()
