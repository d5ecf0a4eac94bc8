"""A strict HTTP proxy that opens tunnels by CONNECT (RFC 9110, section 9.3.6), in the test's own loop."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

_HEAD: Final = re.compile(
    rb"CONNECT ((?:[A-Za-z0-9.-]+|\[[0-9a-f:]+\]):[0-9]{1,5}) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z-]+: [^\r\n]+\r\n)*)\r\n\Z"
)
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class TunnelProxy:
    """Lets whoever names ``user`` and ``password`` through to any address.

    Attributes:
        user: None asks for no credentials, and refuses a request that brings some.
        answer: sent instead of opening a tunnel, and then the connection is closed; None opens it.
        silent: never answers.
        chain: a PEM file with certificate and key: the proxy then speaks TLS itself.
        homes: the loopback port that stands for a target, ``host:port``; others are connected to as they are.
        tunnels: where each tunnel led, in their order.
        refused: how many requests got no tunnel.
        before: what was received from each client before its tunnel stood.
    """

    user: str | None = None
    password: str = ""
    answer: bytes | None = None
    silent: bool = False
    chain: Path | None = None
    homes: dict[str, int] = field(default_factory=dict)
    tunnels: list[str] = field(default_factory=list)
    refused: int = 0
    before: list[bytes] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        context = None
        if self.chain is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.chain)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, *, user: str | None = None, password: str | None = None) -> str:
        """Its URL with these credentials, percent-encoded already; with its own where none are given."""
        scheme = "https" if self.chain is not None else "http"
        name, word = user or self.user, password or self.password
        credentials = f"{name}:{word}@" if name is not None else ""
        return f"{scheme}://{credentials}127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.before.append(head)
        if self.silent:
            await reader.read()
            return
        reply = self.answer if self.answer is not None else self._refusal(head)
        if reply is not None:
            self.refused += 1
            writer.write(reply)
            await writer.drain()
            return
        found = _HEAD.match(head)
        assert found is not None
        target = found[1].decode()
        host, _, port = target.rpartition(":")
        if target in self.homes:
            host, port = "127.0.0.1", str(self.homes[target])
        there = await asyncio.open_connection(host.strip("[]"), int(port))
        self._writers.add(there[1])
        self.tunnels.append(target)
        writer.write(_ESTABLISHED)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        self._writers.discard(there[1])

    def _refusal(self, head: bytes) -> bytes | None:
        found = _HEAD.match(head)
        if found is None or f"Host: {found[1].decode()}\r\n".encode() not in found[2]:
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        given = re.findall(rb"(?m)^Proxy-Authorization: (.*)\r$", found[2])
        if self.user is None:
            return b"HTTP/1.1 400 Unasked\r\nContent-Length: 0\r\n\r\n" if given else None
        pair = base64.b64encode(f"{self.user}:{self.password}".encode())
        if given == [b"Basic " + pair]:
            return None
        return (
            b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n'
            b"Content-Length: 0\r\n\r\n"
        )


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until one side ends; the other side then ends too."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
