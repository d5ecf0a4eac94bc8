"""The provider's end of a call is a real WebRTC peer, and it ends when it should."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aioice.mdns
import pytest
from aiortc import RTCIceGatherer

from tests.support.clocks import PATIENCE, eventually, kept_deadline

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Client, MakeBrowser, MakeSandbox

Minted = Callable[..., Awaitable[str]]
KEY = {"Authorization": "Bearer sk-test-0123456789abcdef"}


async def reports(client: Client) -> list[dict[str, Any]]:
    async with client.get("/_sandbox/calls") as answer:
        found: list[dict[str, Any]] = (await answer.json())["calls"]
    return found


async def ended(client: Client) -> dict[str, Any]:
    """The last call, once it has ended."""

    async def last() -> dict[str, Any] | None:
        call = (await reports(client))[-1]
        return call if call["ended_at"] is not None else None

    found = await eventually(last)
    assert found is not None
    return found


async def test_a_client_connects_hears_audio_and_gets_its_session(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    page = browser()
    location = await page.call(client, await minted(client))
    created = await page.event("session.created")
    assert created["session"]["model"] == "gpt-realtime-2.1"
    assert "client_secret" not in created["session"]
    await page.until(lambda: page.frames >= 25)
    assert page.loudest > 10, "the idle sound is quiet, and it is there"
    assert page.connection.connectionState == "connected"
    call = (await reports(client))[-1]
    assert location.endswith(call["call_id"])
    assert call["connection_state"] == "connected"


async def test_a_hang_up_ends_the_connection_and_the_second_one_finds_no_call(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    page = browser()
    location = await page.call(client, await minted(client))
    await page.event("session.created")
    async with client.post(f"{location}/hangup", headers=KEY) as answer:
        assert answer.status == 200
    await page.until(lambda: page.connection.connectionState == "closed")
    await page.silence()
    call = (await reports(client))[-1]
    assert (call["connection_state"], call["end_reason"]) == ("closed", "hangup")
    async with client.post(f"{location}/hangup", headers=KEY) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "call_id_not_found"


async def test_a_browser_that_leaves_ends_its_call(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    page = browser()
    await page.call(client, await minted(client))
    await page.event("session.created")
    await page.close()
    assert (await ended(client))["connection_state"] == "closed"


async def test_an_offer_that_never_connects_ends_by_itself(
    sandbox: MakeSandbox, offer: str, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc", ice_seconds=0.3)
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post("/v1/realtime/calls", data=offer, headers=headers) as answer:
        assert answer.status == 201
    assert (await ended(client))["end_reason"] == "never_connected"


async def test_a_call_ends_when_its_session_has_lasted_its_time(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    # It has run out when the call connects, or soon after.
    client = await sandbox(peer="webrtc", ice_seconds=PATIENCE, call_seconds=0.5)
    page = browser()
    await page.call(client, await minted(client))
    assert (await ended(client))["end_reason"] == "session_expired"
    await page.until(lambda: page.connection.connectionState == "closed")


async def test_a_session_says_when_its_time_is_over(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc", call_seconds=1000)
    page = browser()
    key, before = await minted(client), int(time.time())
    await page.call(client, key)
    created = await page.event("session.created")
    assert before + 1000 <= created["session"]["expires_at"] <= time.time() + 1000


async def test_a_browsers_offer_with_mdns_candidates_is_answered_without_asking_for_their_names(
    sandbox: MakeSandbox, offer: str, minted: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Resolving a .local name would wait a whole second for multicast.
    asked: list[str] = []
    monkeypatch.setattr(aioice.mdns, "create_mdns_protocol", lambda: asked.append("mDNS"))
    client = await sandbox(peer="webrtc")
    assert ".local " in offer
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post("/v1/realtime/calls", data=offer, headers=headers) as answer:
        text = await answer.text()
    assert asked == []
    assert answer.headers["Content-Type"] == "application/sdp"
    assert text.startswith("v=0\r\n")
    assert text.count("\r\nm=") == offer.count("\r\nm=") == 2
    assert "a=group:BUNDLE 0 1\r\n" in text
    assert "opus/48000/2" in text
    assert "typ host" in text
    assert "srflx" not in text, "the peer must not have asked a STUN server"


async def test_the_peer_never_looks_for_a_stun_server(
    sandbox: MakeSandbox, offer: str, minted: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reach_out() -> list[Any]:
        raise AssertionError("aiortc takes its default, a public server, only when it is given none")

    monkeypatch.setattr(RTCIceGatherer, "getDefaultIceServers", reach_out)
    client = await sandbox(peer="webrtc")
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post("/v1/realtime/calls", data=offer, headers=headers) as answer:
        assert answer.status == 201


async def test_calls_over_the_cap_are_refused_until_one_ends(
    sandbox: MakeSandbox, browser: MakeBrowser, offer: str, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc", peer_cap=1)
    key = await minted(client)
    page = browser()
    location = await page.call(client, key)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
    async with client.post("/v1/realtime/calls", data=offer, headers=headers) as answer:
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "1"
        assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"
    async with client.post(f"{location}/hangup", headers=KEY) as answer:
        assert answer.status == 200
    async with client.post("/v1/realtime/calls", data=offer, headers=headers) as answer:
        assert answer.status == 201


async def test_shutting_down_ends_every_call(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    page = browser()
    await page.call(client, await minted(client))
    await page.event("session.created")
    with kept_deadline(2):
        await client.close()
    await page.until(lambda: page.connection.connectionState == "closed")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sdp: sdp.replace("a=rtcp-mux\r\n", ""),
        lambda sdp: sdp.replace("m=audio 54400", "m=audio x"),
        lambda sdp: sdp.replace("a=mid:1", "a=mid"),
        lambda sdp: sdp.replace("opus/48000/2", "opus/48000/two"),
    ],
    ids=["no-rtcp-mux", "port", "mid", "channels"],
)
async def test_an_offer_that_the_peer_cannot_take_is_refused_and_leaves_no_call(
    sandbox: MakeSandbox, offer: str, minted: Minted, spoil: Callable[[str], str]
) -> None:
    client = await sandbox(peer="webrtc", peer_cap=1)
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    for _ in range(2):
        async with client.post("/v1/realtime/calls", data=spoil(offer), headers=headers) as answer:
            assert answer.status == 400, await answer.text()
            assert (await answer.json())["error"]["code"] == "invalid_offer"
    assert await reports(client) == []


# --- calls that go wrong after their answer --------------------------------------------------------


async def arm(client: Client, kind: str) -> None:
    async with client.post("/_sandbox/faults", json={"kind": kind, "path": "calls"}) as answer:
        assert answer.status == 201


async def test_without_a_path_nobody_listens_and_the_call_ends(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc", ice_seconds=0.5)
    await arm(client, "no_path")
    page = browser()
    await page.call(client, await minted(client))
    assert (await ended(client))["end_reason"] == "never_connected"
    assert page.connection.iceConnectionState in ("new", "checking", "failed")
    assert page.frames == 0


async def test_with_another_certificates_fingerprint_there_is_a_path_and_no_connection(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    await arm(client, "wrong_fingerprint")
    page = browser()
    await page.call(client, await minted(client))
    await page.until(lambda: page.connection.connectionState == "failed")
    assert page.connection.iceConnectionState in ("connected", "completed")
    assert page.events == []


async def test_without_audio_the_conversation_goes_on(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    await arm(client, "no_audio")
    page = browser()
    await page.call(client, await minted(client))
    await page.event("session.created")
    page.send("response.create", response={"instructions": 'Say "Good evening".'})
    done = await page.event("response.done")
    assert done["response"]["status"] == "completed"
    assert page.frames == 0
