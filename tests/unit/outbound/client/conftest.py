"""Both loops, clients with settings of the test's choice, and peers; everything is closed at the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings
from tests.support.clocks import PATIENCE, VirtualTimeLoop
from tests.support.egress import ON_LOOPBACK
from tests.unit.outbound.peer import OK, Peer, Reply

HI = OK + b"\r\nhi"
StartPeer = Callable[[Reply], Awaitable[tuple[Peer, str]]]
MakeClient = Callable[..., UpstreamClient]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The service runs on uvloop; asyncio's own loop is what it falls back to, and the stricter one."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual time": VirtualTimeLoop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def make() -> AsyncIterator[MakeClient]:
    clients: list[UpstreamClient] = []

    def client(
        *, connect_timeout: float = PATIENCE, connections: int = 100, keepalive: float = 20
    ) -> UpstreamClient:
        # A new one for each: it reads the authorities once.
        egress = Egress(guard=ON_LOOPBACK)
        clients.append(
            UpstreamClient(
                connect_timeout=connect_timeout, connections=connections, keepalive=keepalive, egress=egress
            )
        )
        return clients[-1]

    yield client
    for one in clients:
        await one.close()


@pytest.fixture
async def peer() -> AsyncIterator[StartPeer]:
    peers: list[Peer] = []

    async def start(reply: Reply) -> tuple[Peer, str]:
        peers.append(Peer(reply))
        return peers[-1], await peers[-1].start()

    yield start
    for one in peers:
        await one.close()


async def post(
    client: UpstreamClient, url: str, body: bytes = b"v=0 offer", *, timeout: float = PATIENCE
) -> UpstreamResponse:
    return await client.post(UpstreamRequest(url, {}, body), timeout=timeout, timings=Timings())


class Names:
    """A name service for ``.test``: what it says of every name there, and what it was asked.

    While ``script`` has answers, each question takes the next one of them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.addresses: list[str] = []
        self.script: list[list[str]] = []
        self.slow = asyncio.Event()
        self.slow.set()
        loop = asyncio.get_running_loop()
        self._real = loop.getaddrinfo
        monkeypatch.setattr(loop, "getaddrinfo", self._answer)

    async def _answer(self, host: str, port: int, **more: Any) -> list[Any]:
        if not host.endswith(".test"):
            # uvloop takes even an address through here before it connects.
            return await self._real(host, port, **more)
        self.asked.append(host)
        await self.slow.wait()
        addresses = self.script.pop(0) if self.script else self.addresses
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [_info(address, port) for address in addresses]


def _info(address: str, port: int) -> tuple[Any, ...]:
    kind = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
    if ":" in address:
        return (socket.AF_INET6, *kind, (address, port, 0, 0))
    return (socket.AF_INET, *kind, (address, port))


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def under(name: str, url: str) -> str:
    return url.replace("127.0.0.1", name)
