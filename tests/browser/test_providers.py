"""Every provider from a real browser: minted by a backend at one replica, called by a page at the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.browser.conftest import OpenTab
from tests.browser.elsewhere import Elsewhere
from tests.support.api import minted
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.providers import PLACES, Place, settings_for
from tests.support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A page's call with a handle that its backend gave it, and its end.
_CALL: Final = """async ([url, handle, label, asks]) => {
  const pc = new RTCPeerConnection();
  window.call = { pc, events: [] };
  const channel = pc.createDataChannel(label);
  channel.onmessage = ({ data }) => window.call.events.push(JSON.parse(data).type);
  pc.ontrack = ({ streams }) => (document.querySelector("#audio").srcObject = streams[0]);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  pc.addTrack(microphone.getTracks()[0], microphone);
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(`${url}/v1/realtime/calls`, {
    method: "POST",
    headers: { Authorization: `Bearer ${handle}`, "Content-Type": "application/sdp" },
    body: pc.localDescription.sdp,
  });
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  channel.onopen = () => channel.send(JSON.stringify({ type: asks }));
  return { status: answer.status, location: answer.headers.get("Location") };
}"""
# The same by cloakroom.js, which resolves once it is connected.
_CONNECT: Final = """async ([callsUrl, handle, channelName]) => {
  const { connect } = await import("/demo/cloakroom.js");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const events = [];
  const onEvent = ({ type }) => events.push(type);
  const call = await connect({ callsUrl, handle, stream, channelName, onEvent });
  window.call = { ...call, events };
  return call.id;
}"""
_HANG_UP: Final = """async ([url, location, handle]) => {
  const headers = { Authorization: `Bearer ${handle}` };
  return (await fetch(`${url}${location}/hangup`, { method: "POST", headers })).status;
}"""


@pytest.fixture(scope="module")
def stack(elsewhere: Elsewhere) -> Iterator[Stack]:
    """Two replicas that let the known origin in, and a deployment at each provider."""
    planted = Planted()
    settings: Any = {
        "CLOAKROOM_CORS_ORIGINS": elsewhere.known,
        "CLOAKROOM_DEMO": "true",
        **settings_for(planted),
    }
    with Stack(peer="webrtc", planted=planted, **settings) as running:
        yield running


def last_call(stack: Stack) -> dict[str, Any]:
    return dict(stack.sandbox.control("GET", "calls")["calls"][-1])


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_a_page_calls_converses_and_hangs_up(
    open_tab: OpenTab, elsewhere: Elsewhere, stack: Stack, place: Place
) -> None:
    async with aiohttp.ClientSession() as backend:
        body = {"model": place.name, "session": {"type": "realtime", **place.session}}
        handle = await minted(backend, stack.a.url, stack.planted.client_key, body)
    tab = await open_tab()
    await tab.page.goto(f"{elsewhere.known}/pages/guide.html")

    relayed: Any = await tab.page.evaluate(_CALL, [stack.b.url, handle, place.channel, place.asks])

    assert relayed["status"] == 201
    call_id = last_call(stack)["call_id"]
    assert relayed["location"] == (f"/v1/realtime/calls/{call_id}" if place.names_calls else None)
    await tab.page.wait_for_function("call.pc.connectionState === 'connected'")
    await tab.page.wait_for_function(f"call.events.includes('{place.answers}')")
    await tab.page.wait_for_function("document.querySelector('#audio').currentTime > 0.3")
    await tab.hears()
    if place.hangs_up:
        ended: Any = await tab.page.evaluate(_HANG_UP, [stack.a.url, relayed["location"], handle])
        assert ended == 200
        await eventually(lambda: last_call(stack)["end_reason"] == "hangup")
    else:
        await tab.page.evaluate("call.pc.close()")
        await eventually(lambda: last_call(stack)["ended_at"] is not None)


async def test_cloakroom_js_calls_a_provider_that_names_its_data_channel_otherwise(
    open_tab: OpenTab, stack: Stack
) -> None:
    (place,) = [one for one in PLACES if one.channel != "oai-events"]
    async with aiohttp.ClientSession() as backend:
        body = {"model": place.name, "session": {**place.session, "type": "realtime"}}
        handle = await minted(backend, stack.a.url, stack.planted.client_key, body)
    tab = await open_tab()
    await tab.page.goto(f"{stack.b.url}/demo")
    offers = f"{stack.b.url}/v1/realtime/calls"
    assert await tab.page.evaluate(_CONNECT, [offers, handle, place.channel]) == last_call(stack)["call_id"]
    await tab.page.wait_for_function("call.events.includes('session.created')")
    await tab.page.evaluate("call.close()")
    await eventually(lambda: last_call(stack)["ended_at"] is not None)


# The same in GPT-Live's own form, as its SDK sends it.
_LIVE_CALL: Final = """async ([url, handle, model]) => {
  const pc = new RTCPeerConnection();
  window.call = { pc, events: [] };
  const channel = pc.createDataChannel("oai-events");
  channel.onmessage = ({ data }) => window.call.events.push(JSON.parse(data));
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  pc.addTrack(microphone.getTracks()[0], microphone);
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(`${url}/v1/live/sessions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${handle}`, "Content-Type": "application/json" },
    body: JSON.stringify({ session: { model }, transport: { type: "webrtc", sdp: pc.localDescription.sdp } }),
  });
  const { session, transport } = await answer.json();
  await pc.setRemoteDescription({ type: "answer", sdp: transport.sdp });
  window.call.leave = () => channel.send(JSON.stringify({ type: "session.close" }));
  return { status: answer.status, id: session.id, location: answer.headers.get("Location") };
}"""
_CLOSED: Final = "call.events.find(({ type }) => type === 'session.closed')"


async def test_a_page_speaks_gpt_lives_own_form_and_hears_its_end(
    open_tab: OpenTab, elsewhere: Elsewhere, stack: Stack
) -> None:
    async with aiohttp.ClientSession() as backend:
        body = {"session": {"type": "live", "model": "openai-live"}}
        handle = await minted(backend, stack.a.url, stack.planted.client_key, body)
    tab = await open_tab()
    await tab.page.goto(f"{elsewhere.known}/pages/guide.html")

    made: Any = await tab.page.evaluate(_LIVE_CALL, [stack.b.url, handle, "openai-live"])

    assert (made["status"], made["location"]) == (201, f"/v1/live/sessions/{made['id']}")
    await tab.page.wait_for_function("call.events.some(({ type }) => type === 'session.usage.updated')")
    await tab.page.evaluate("call.leave()")
    await tab.page.wait_for_function(_CLOSED)
    ended: Any = await tab.page.evaluate(_CLOSED)
    assert (ended["reason"], ended["session"]["id"]) == ("close_requested", made["id"])
    assert ended["usage"]["seconds"] >= 15
    assert last_call(stack)["call_id"] == made["id"]
