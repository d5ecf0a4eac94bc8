"""Sidebands over real replicas: the example's tools in a spoken call, and a replica that ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from tests.support.api import called, hang_up, minted
from tests.support.clocks import PATIENCE, eventually
from tests.support.processes import ROOT
from tests.support.sideband import Socket, closed, heard
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer

EXAMPLE = ROOT / "docs" / "examples" / "sideband_tools.py"


class Backend:
    """The example as a process of its own, attached through one replica."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line that it prints; empty at its end."""
        assert self._process.stdout is not None
        text = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        return text.decode().strip()

    async def status(self) -> int:
        return await asyncio.wait_for(self._process.wait(), PATIENCE)

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


@asynccontextmanager
async def started(stack: Stack, url: str, call_id: str) -> AsyncIterator[Backend]:
    """The example, attached to a call at a replica's URL; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        call_id,
        stdout=asyncio.subprocess.PIPE,
        env={"CLOAKROOM_URL": url, "CLOAKROOM_CLIENT_KEY": stack.planted.client_key},
    )
    backend = Backend(process)
    try:
        yield backend
    finally:
        backend.kill()
        await backend.status()


async def test_the_example_runs_a_tool_while_the_browser_talks_and_ends_with_the_call(
    webrtc_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, webrtc_stack.a.url, webrtc_stack.planted.client_key)
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(BrowserPeer())
        await page.connect(http, f"{webrtc_stack.a.url}/v1/realtime/calls", handle)
        call_id = page.location.rpartition("/")[2]
        # The other replica than the one that relayed.
        tools = await stack.enter_async_context(started(webrtc_stack, webrtc_stack.b.url, call_id))
        assert await tools.line() == "ready"
        said = [{"type": "input_text", "text": "Tell me the opening_hours"}]
        item = {"type": "message", "role": "user", "content": said}
        page.send({"type": "conversation.item.create", "item": item})
        page.send({"type": "response.create"})
        answered = "Every shop is open from nine to six"
        assert await tools.line() == f"opening_hours: {answered}"
        spoken = await page.event("response.output_audio_transcript.done")
        assert spoken["transcript"] == f"The tool answered: {answered}"
        assert page.state == "connected"
        await page.leave()
        # Nobody hung up.
        assert await tools.line() == "the call is over"
        assert await tools.status() == 0
    (line,) = [e for e in webrtc_stack.b.events("sideband") if e["call_id"] == call_id]
    assert (line["outcome"], line["status"], line["close_code"]) == ("over", 101, 1000)
    assert line["audio_dropped"] > 0
    assert line["events_from_backend"] == 3


async def _attach(http: aiohttp.ClientSession, url: str, key: str, call_id: str) -> Socket:
    headers = {"Authorization": f"Bearer {key}"}
    socket = await http.ws_connect(f"{url}/v1/realtime?call_id={call_id}", headers=headers)
    await heard(socket, "session.created")
    return socket


async def test_a_replica_that_gets_sigterm_asks_to_reconnect_at_once_and_ends_no_call(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    key = static_stack.planted.client_key
    leaving = static_stack.replica("leaving", CLOAKROOM_DRAIN_SECONDS="1")
    call_id = await called(http, static_stack.a.url, await minted(http, static_stack.a.url, key))
    socket = await _attach(http, leaving.url, key, call_id)
    leaving.signal(signal.SIGTERM)
    code, reason = await closed(socket)
    assert (code, reason) == (1012, "This replica restarts; the call goes on. Reconnect.")
    assert await asyncio.to_thread(leaving.wait) == 0
    assert leaving.events("stopped")
    (line,) = leaving.events("sideband")
    assert line["outcome"] == "drained"
    # The call goes on, and the other replica has it.
    again = await _attach(http, static_stack.b.url, key, call_id)
    assert (await hang_up(http, static_stack.a.url, key, call_id)).status == 200
    assert (await closed(again))[0] == 1000


async def test_a_replica_that_is_killed_ends_no_call(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    key = static_stack.planted.client_key
    dying = static_stack.replica("dying")
    call_id = await called(http, static_stack.a.url, await minted(http, static_stack.a.url, key))
    socket = await _attach(http, dying.url, key, call_id)
    dying.signal(signal.SIGKILL)
    message = await socket.receive(PATIENCE)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR), message

    def ended_at() -> object:
        calls = static_stack.sandbox.control("GET", "calls")["calls"]
        (call,) = [call for call in calls if call["call_id"] == call_id]
        return json.dumps(call["ended_at"]) if call["sidebands"] == 0 else ""

    assert await eventually(lambda: asyncio.to_thread(ended_at)) == "null"
    again = await _attach(http, static_stack.b.url, key, call_id)
    await again.close()
