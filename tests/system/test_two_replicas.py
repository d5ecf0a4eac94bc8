"""Mint on one replica, relay on the other, with real processes, a real store and a real WebRTC peer."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.api import minted
from tests.support.sinks import assert_nothing_planted_in, store_dump
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer

ROUNDS = 30


@pytest.mark.timeout(900)
async def test_thirty_calls_minted_on_a_and_relayed_on_b_connect_and_carry_audio_and_events(
    webrtc_stack: Stack, http: aiohttp.ClientSession
) -> None:
    stack = webrtc_stack
    client_key = stack.planted.client_key
    call_ids = set()
    answers = []
    for _ in range(ROUNDS):
        handle = await minted(http, stack.a.url, client_key)
        async with BrowserPeer() as peer:
            await peer.connect(http, f"{stack.b.url}/v1/realtime/calls", handle)
            assert peer.state == "connected"
            assert peer.frames >= 3
            created = await peer.event("session.created")
            assert created["session"]["model"] == "gpt-realtime-2.1"
            assert peer.location.startswith("/v1/realtime/calls/rtc_")
            call_ids.add(peer.location.rpartition("/")[2])
            answers += [handle, peer.answer, peer.location]
    assert len(call_ids) == ROUNDS

    keys = stack.sandbox.control("GET", "state")["keys"]
    assert keys["minted"] >= ROUNDS
    records = await store_dump(stack.engine.url)
    assert any("sealed_key" in record for record in records)
    assert_nothing_planted_in(stack, "answers", *answers)
    assert_nothing_planted_in(stack, "logs of A", stack.a.output)
    assert_nothing_planted_in(stack, "logs of B", stack.b.output)
    assert_nothing_planted_in(stack, "store", *records)
    assert len(stack.a.events("mint")) >= ROUNDS
    assert len(stack.b.events("relay")) >= ROUNDS
    line = stack.b.events("relay")[0]
    assert {
        "request_id",
        "total_ms",
        "provider_ms",
        "store_ms",
        "call_id",
        "handle",
        "replica",
    } <= line.keys()


async def test_session_update_is_answered_over_the_data_channel(
    webrtc_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, webrtc_stack.b.url, webrtc_stack.planted.client_key)
    async with BrowserPeer() as peer:
        await peer.connect(http, f"{webrtc_stack.a.url}/v1/realtime/calls", handle)
        peer.send({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})
        updated = await peer.event("session.updated")
        assert updated["session"]["instructions"] == "Be brief."
