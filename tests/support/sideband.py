"""A backend's end of a sideband, and the events that a test waits for on it."""

from __future__ import annotations

import json
from typing import Any, Final

import aiohttp

from tests.support.clocks import PATIENCE

# A handshake as a request that reads its refusal.
UPGRADE: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

Socket = aiohttp.ClientWebSocketResponse[bool]


async def heard(socket: Socket, kind: str) -> dict[str, Any]:
    """The next event of this type; others before it are dropped."""
    while True:
        message = await socket.receive(PATIENCE)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        event: dict[str, Any] = json.loads(message.data)
        if event["type"] == kind:
            return event


async def closed(socket: Socket) -> tuple[int, str]:
    """The code and the reason of the close; events before it are dropped."""
    while True:
        message = await socket.receive(PATIENCE)
        if message.type is not aiohttp.WSMsgType.TEXT:
            assert message.type is aiohttp.WSMsgType.CLOSE, message
            return message.data, str(message.extra)
