"""`WSS /v1/realtime?call_id=`, and Azure's under `/openai/v1`: a call's events for the caller's server.

Source: OpenAI's guide "Webhooks and server-side controls". Not verified at the real providers, and so a guess
here: `session.created` as the first event, sound as events, the close codes, and whether an `error` goes to
its sender alone.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSMsgType, web

from .. import refusals
from ..calls import NORMAL, Call
from ..provider import PROVIDER, Provider
from ..refusals import Flavour
from .azure import no_api_version, resource_key
from .openai import standard_key

# Events that wait for a caller that does not read; one more ends its sideband.
MOST_WAITING = 1000
TOO_SLOW = 1008
UNSUPPORTED = 1003
LARGEST_EVENT = 15 * 1024 * 1024
CLOSE_SECONDS = 2.0


async def openai_sideband(request: web.Request) -> web.StreamResponse:
    """Attach with OpenAI's standard key."""
    provider = request.app[PROVIDER]
    standard_key(request, provider)
    return await attached_by_query(request, provider, "openai")


async def azure_sideband(request: web.Request) -> web.StreamResponse:
    """Attach with the resource's key or an Entra token."""
    provider = request.app[PROVIDER]
    no_api_version(request)
    resource_key(request, provider)
    return await attached_by_query(request, provider, "azure")


async def attached_by_query(request: web.Request, provider: Provider, flavour: Flavour) -> web.StreamResponse:
    """Attach to the call of `call_id`, once the credential has been checked."""
    call_id = request.query.get("call_id")
    if call_id is None:
        raise refusals.missing_parameter("call_id")
    socket = upgradable(request)
    call = provider.calls.live(call_id)
    hidden = not call.terms.standard and not provider.config.ephemeral_sidebands
    if call.terms.provider != flavour or call.terms.gpt_live or hidden:
        raise refusals.call_id_not_found(call_id)
    return await attached(request, socket, call)


def upgradable(request: web.Request) -> web.WebSocketResponse:
    """The answer that opens the WebSocket. Raises Refusal (400) where the request asks for none."""
    socket = web.WebSocketResponse(
        compress=False, max_msg_size=LARGEST_EVENT, protocols=("realtime",), timeout=CLOSE_SECONDS
    )
    if not socket.can_prepare(request).ok:
        raise refusals.no_websocket()
    return socket


async def attached(request: web.Request, socket: web.WebSocketResponse, call: Call) -> web.WebSocketResponse:
    """Serve the call's events until it is over, or the caller leaves."""
    await socket.prepare(request)
    await SandboxSideband(socket, call).serve()
    return socket


class SandboxSideband:
    """One attached WebSocket: the call's events go out in order, its client events go to the conversation."""

    def __init__(self, socket: web.WebSocketResponse, call: Call) -> None:
        self.socket = socket
        self._call = call
        self._line: asyncio.Queue[str | tuple[int, str]] = asyncio.Queue(MOST_WAITING)

    def send(self, text: str) -> None:
        """Send one event soon."""
        try:
            self._line.put_nowait(text)
        except asyncio.QueueFull:
            self.end(TOO_SLOW, "events are not read")

    def end(self, code: int, reason: str) -> None:
        """Close it soon, after what was sent before."""
        if self._line.full():
            self._line.get_nowait()
        self._line.put_nowait((code, reason))

    async def serve(self) -> None:
        """Until the call is over, or the caller leaves."""
        self._call.sidebands.append(self)
        self._call.peer.attach(self.send)
        if self._call.ended_at is not None:
            # It ended during the handshake.
            self.end(NORMAL, f"the call is over: {self._call.end_reason}")
        writer = asyncio.get_running_loop().create_task(self._write())
        try:
            async for message in self.socket:
                if message.type is not WSMsgType.TEXT:
                    self.end(UNSUPPORTED, "events are text")
                else:
                    self._call.peer.received(message.data, self.send)
        finally:
            self._call.peer.detach(self.send)
            self._call.sidebands.remove(self)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self) -> None:
        # The caller may leave at any time; the reader notices it.
        with contextlib.suppress(ConnectionError):
            while True:
                told = await self._line.get()
                if not isinstance(told, str):
                    code, reason = told
                    await self.socket.close(code=code, message=reason.encode())
                    return
                await self.socket.send_str(told)
