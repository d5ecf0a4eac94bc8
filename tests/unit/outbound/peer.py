"""A server of few words, which answers on a raw socket with whatever bytes a test wants."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"


class Peer:
    """A server of few words: it reads a request, counts it, and does what the test says."""

    def __init__(self, reply: Reply) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        self._reply = reply
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Listen, on a free port unless one is given; returns the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}/v1/realtime/calls"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(head + body)
                await self._reply(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


def saying(*pieces: bytes, then_close: bool = False) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            raise ConnectionResetError

    return reply


class full_listener:  # noqa: N801 - reads as a statement
    """A listener whose queue is full, so that the system drops whoever knocks; gives its port."""

    def __init__(self, address: str, port: int) -> None:
        self._listener = socket.create_server((address, port), backlog=0)
        self._inside: list[socket.socket] = []

    def __enter__(self) -> int:
        where = self._listener.getsockname()
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(where)
            self._inside.append(one)
        port: int = where[1]
        return port

    def __exit__(self, *_: object) -> None:
        for one in (*self._inside, self._listener):
            one.close()
