"""A provider that costs nearly nothing: fixed answers from a raw asyncio protocol."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

from tests.support.offers import BROWSER_OFFER

KEY = "ek_68af296e8e408191a1120ab6383263c2"
_ANSWER = BROWSER_OFFER.replace(b"a=setup:actpass", b"a=setup:active")


def _mint() -> bytes:
    body = (
        b'{"value":"%b","expires_at":%d,"session":{"type":"realtime","object":"realtime.session",'
        b'"id":"sess_C9CiUVUzUzYIssh3ELY1d","model":"gpt-realtime","output_modalities":["audio"],'
        b'"instructions":"You are a helpful assistant.","tools":[],"tool_choice":"auto"}}'
        % (KEY.encode(), int(time.time()) + 600)
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def _call() -> bytes:
    head = (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: /v1/realtime/calls/rtc_%d\r\n"
        b"Content-Length: %d\r\n\r\n" % (time.perf_counter_ns(), len(_ANSWER))
    )
    return head + _ANSWER


class Fixed(asyncio.Protocol):
    """Answers each whole request at once."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0")
            whole = end + 4 + length
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            self._write(_mint() if b"client_secrets" in head else _call())


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", port)
    sys.stdout.write(f'{{"event": "provider_ready", "port": {server.sockets[0].getsockname()[1]}}}\n')
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(0))
