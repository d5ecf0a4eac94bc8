"""A real WebRTC peer (aiortc) that does what a browser does with a handle: offer, answer, media, events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack
from av import AudioFrame

from tests.support.clocks import PATIENCE


class BrowserPeer:
    """One call. ``connect`` returns when audio has arrived and the data channel has opened.

    Args:
        voice: what the microphone hears; silence when None.
        hear: called with each audio frame that arrives.
        channel: the data channel's label.
    """

    def __init__(
        self,
        voice: MediaStreamTrack | None = None,
        hear: Callable[[AudioFrame], None] | None = None,
        *,
        channel: str = "oai-events",
    ) -> None:
        # No STUN server: host candidates are enough on one machine, and nothing else is reachable.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.addTrack(voice or AudioStreamTrack())
        self._hear = hear
        self._channel = self._peer.createDataChannel(channel)
        self._opened = asyncio.Event()
        self._heard = asyncio.Event()
        self._connected = asyncio.Event()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listener: asyncio.Task[None] | None = None
        self.frames = 0
        self.location = ""
        self.answer = ""
        self.offer = ""
        self._channel.on("open", self._opened.set)
        self._channel.on("message", lambda text: self._events.put_nowait(json.loads(text)))
        self._peer.on("track", self._listen)
        self._peer.on("connectionstatechange", self._state_changed)

    async def make_offer(self) -> str:
        """Create the offer with its candidates."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        self.offer = self._peer.localDescription.sdp
        return self.offer

    async def take(self, answer: str) -> None:
        """Take the provider's answer, and wait for nothing."""
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def accept(self, answer: str) -> None:
        """Take the provider's answer and wait for the connection, audio and the data channel."""
        await self.take(answer)
        async with asyncio.timeout(PATIENCE):
            await self._connected.wait()
            await self._heard.wait()
            await self._opened.wait()

    async def connect(self, http: aiohttp.ClientSession, calls_url: str, handle: str) -> None:
        """Relay the offer and take the answer."""
        headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"}
        async with http.post(calls_url, data=await self.make_offer(), headers=headers) as response:
            self.answer = await response.text()
            assert response.status == 201, (response.status, self.answer)
            self.location = response.headers.get("Location", "")
        await self.accept(self.answer)

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of this type; others before it are dropped."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self._events.get()
                if event["type"] == kind:
                    return event

    async def silence(self) -> None:
        """Wait until no audio can come any more."""
        assert self._listener is not None
        with contextlib.suppress(MediaStreamError):
            await asyncio.wait_for(self._listener, PATIENCE)

    async def stats(self, kind: str) -> Any:
        """The one entry of this type that ``getStats`` has for the call's audio."""
        (found,) = [entry for entry in (await self._peer.getStats()).values() if entry.type == kind]
        return found

    def send(self, event: dict[str, Any]) -> None:
        self._channel.send(json.dumps(event))

    @property
    def state(self) -> str:
        return str(self._peer.connectionState)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """End the connection, as a page that closes does."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._peer.close()

    def _listen(self, track: MediaStreamTrack) -> None:
        async def count() -> None:
            while True:
                frame = await track.recv()
                self.frames += 1
                if self._hear is not None and isinstance(frame, AudioFrame):
                    self._hear(frame)
                if self.frames >= 3:
                    self._heard.set()

        self._listener = asyncio.ensure_future(count())

    def _state_changed(self) -> None:
        if self._peer.connectionState == "connected":
            self._connected.set()
