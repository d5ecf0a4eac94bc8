"""What the drill puts around HAProxy: two replicas that misbehave on request, and a name server."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import cast

from aiohttp import web

CALLS = "/v1/realtime/calls"


class Replica:
    """A stand-in that records what arrives and misbehaves on request (header ``x-drill``)."""

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name, self.address, self.port = name, address, port
        self.ready = True
        self.arrived: list[str] = []
        self.headers: dict[str, str] = {}
        self.first_byte_at = self.last_byte_at = 0.0
        self.kept_line: bool | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/livez", self._livez)
        app.router.add_route("*", "/{path:.*}", self._any)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, self.port).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready else 503)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append(request.path)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.headers["all-forwarded-for"] = ",".join(request.headers.getall("x-forwarded-for", []))
        size = 0
        self.first_byte_at = 0.0
        async for chunk in request.content.iter_any():
            self.first_byte_at = self.first_byte_at or time.monotonic()
            size += len(chunk)
        self.last_byte_at = time.monotonic()
        what, _, seconds = request.headers.get("x-drill", "").partition("=")
        if what == "drop" and request.transport:
            request.transport.abort()
            raise asyncio.CancelledError  # the connection is gone: there is nobody to answer
        if what == "wait":
            await asyncio.sleep(float(seconds))
            self.kept_line = request.transport is not None and not request.transport.is_closing()
        if not self.ready:
            return web.json_response({"error": {"code": "draining"}}, status=503)
        answer = web.StreamResponse(headers={"x-replica": self.name, "x-size": str(size)})
        answer.headers["location"] = "/v1/realtime/calls/rtc_1"
        answer.headers["x-request-id"] = request.headers.get("x-request-id", "")
        await answer.prepare(request)
        await answer.write(b"first")
        if what == "trickle":
            await asyncio.sleep(float(seconds))
        await answer.write(b"last")
        return answer


class NameServer(asyncio.DatagramProtocol):
    """Answers A queries from ``addresses``; a name that is not there does not exist."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own transport is no subclass of the type that it implements.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str | int, ...]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        question = data[12 : at + 5]
        address = self.addresses.get(".".join(labels))
        is_a = data[at + 1 : at + 3] == b"\x00\x01"
        count = 1 if address and is_a else 0
        code = 0 if address else 3
        answer = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question
        if count:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(str(address))
        self._transport.sendto(answer, (str(peer[0]), int(peer[1])))


async def slow_header(url: str) -> str:
    """What comes back for a header that never ends."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(f"POST {CALLS} HTTP/1.1\r\nhost: x\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 15)).decode()
    writer.close()
    return answer


async def garbage(url: str) -> str:
    """What comes back for a TLS greeting on the plain port."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    answer = (await asyncio.wait_for(reader.read(), 15)).decode()
    writer.close()
    return answer


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)
