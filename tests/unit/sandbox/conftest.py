"""A running sandbox, and a browser made of aiortc to call it with."""

from __future__ import annotations

import asyncio
import json
import math
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from pytest_aiohttp import AiohttpClient

import app.sandbox
from app.sandbox import SandboxConfig, create_sandbox
from tests.support.clocks import PATIENCE, eventually

OPENAI_KEY = "sk-test-0123456789abcdef"
AZURE_KEY = "azure-test-0123456789abcdef"
ENTRA_TOKEN = "entra-token-for-tests"

Client = TestClient[web.Request, web.Application]
MakeSandbox = Callable[..., Awaitable[Client]]
OFFER_FILE = Path(app.sandbox.__file__).with_name("offer.sdp")


@pytest.fixture
def sandbox(aiohttp_client: AiohttpClient) -> MakeSandbox:
    """Start a sandbox; static unless told otherwise, since most contracts need no peer."""

    async def make(**settings: Any) -> Client:
        defaults: dict[str, Any] = {
            "openai_keys": (OPENAI_KEY,),
            "azure_keys": (AZURE_KEY,),
            "azure_tokens": (ENTRA_TOKEN,),
            "peer": "static",
        }
        return await aiohttp_client(create_sandbox(SandboxConfig(**{**defaults, **settings})))

    return make


@pytest.fixture
def offer() -> str:
    """The offer that ships with the sandbox, as a browser would write it."""
    return OFFER_FILE.read_bytes().decode()


async def mint(client: Client, path: str = "/v1/realtime/client_secrets", **body: Any) -> str:
    """A fresh ephemeral key of OpenAI's, or of Azure's under its path."""
    azure = path.startswith("/openai/")
    model = "voice-prod" if azure else "gpt-realtime-2.1"
    headers = {"api-key": AZURE_KEY} if azure else {"Authorization": f"Bearer {OPENAI_KEY}"}
    document = {"session": {"type": "realtime", "model": model}, **body}
    async with client.post(path, json=document, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
    return str(found["value"])


class Browser:
    """A WebRTC client: it keeps the events that arrive, and counts and measures the audio."""

    def __init__(self, microphone: MediaStreamTrack | None = None) -> None:
        # An empty list: aiortc would otherwise ask a public STUN server.
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if microphone is None:
            self.connection.addTransceiver("audio")
        else:
            self.connection.addTrack(microphone)
        self.channel = self.connection.createDataChannel("oai-events")
        self.events: list[dict[str, Any]] = []
        self.frames = 0
        self.loudest = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.channel.on("message", self._on_message)
        self.connection.on("track", self._on_track)

    async def call(self, client: Client, key: str, path: str = "/v1/realtime/calls") -> str:
        """Offer, take the answer, and return the call's `Location`."""
        await self.connection.setLocalDescription()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        sdp = self.connection.localDescription.sdp
        async with client.post(path, data=sdp, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            text = await answer.text()
            location = answer.headers["Location"]
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))
        return location

    def send(self, kind: str, **fields: Any) -> None:
        """Send one client event."""
        self.channel.send(json.dumps({"type": kind, **fields}))

    async def event(self, kind: str) -> dict[str, Any]:
        """The first event of this kind, waiting for it."""
        first: dict[str, Any]
        first, *_ = await self.until(lambda: [e for e in self.events if e["type"] == kind])
        return first

    async def until(self, found: Callable[[], Any]) -> Any:
        """Wait until `found` returns something true, and return that."""
        return await eventually(found, lambda: self.kinds)

    async def silence(self) -> None:
        """Wait until no audio can come any more."""
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events so far, in order."""
        return [str(event["type"]) for event in self.events]

    async def close(self) -> None:
        """Leave."""
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_message(self, message: str) -> None:
        self.events.append(json.loads(message))

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(self._hear(track)))

    async def _hear(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            samples = array("h")
            samples.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
            picked = samples[::8]
            self.loudest = max(self.loudest, math.sqrt(sum(s * s for s in picked) / len(picked)))
            self.frames += 1


MakeBrowser = Callable[..., Browser]


@pytest.fixture
async def browser() -> AsyncIterator[MakeBrowser]:
    """Make browsers; they leave when the test ends."""
    made: list[Browser] = []

    def make(microphone: MediaStreamTrack | None = None) -> Browser:
        made.append(Browser(microphone))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def minted() -> Callable[..., Awaitable[str]]:
    """The function that mints, for tests that only need a key."""
    return mint
