"""Azure Voice Live on two replicas: one holds the WebSocket of a call with a real WebRTC peer."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial

import aiohttp
import pytest

from app.models import SHORTEST_CALL_SECONDS
from tests.support.api import called, hang_up, minted, relay
from tests.support.clocks import eventually, until
from tests.support.planted import Planted
from tests.support.processes import Replica
from tests.support.sinks import store_dump
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer
from tests.system.hangups import call_at

PATH = "/voice-live/realtime/calls"
CHANNEL = "voice-live-events"
SESSION = {"type": "realtime", "instructions": "Be brief.", "audio": {"output": {"voice": "alloy"}}}
BODY = {"model": "assistant", "session": SESSION}


DEPLOYMENT = {"provider": "azure-voice-live", "base_url": "{provider}", "model": "gpt-realtime-2.1"}


def _hung_up(stack: Stack, call_id: str) -> bool:
    return bool(call_at(stack, call_id)["end_reason"] == "hangup")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Two replicas whose one model is at Voice Live. No other replica may take the deadlines of its calls."""
    planted = Planted()
    deployment = {**DEPLOYMENT, "api_key": planted.azure_key}
    with Stack(
        peer="webrtc",
        planted=planted,
        CLOAKROOM_DEPLOYMENTS=json.dumps({"live": deployment}),
        CLOAKROOM_MODELS=json.dumps({"assistant": ["live"]}),
        CLOAKROOM_DRAIN_SECONDS="0",
    ) as running:
        yield running


def strike(stack: Stack, kind: str, **more: object) -> None:
    stack.sandbox.control("POST", "faults", {"kind": kind, "path": "voice_live", **more})


def handshakes(stack: Stack) -> int:
    return int(stack.sandbox.control("GET", "state")["requests"].get(PATH, 0))


async def test_minted_on_a_and_relayed_on_b_with_audio_and_events_and_a_hang_up_at_a(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, BODY)
    async with BrowserPeer(channel=CHANNEL) as peer:
        await peer.connect(http, f"{stack.b.url}/v1/realtime/calls", handle)
        assert peer.frames >= 3
        created = await peer.event("session.created")
        assert created["session"]["instructions"] == "Be brief."
        call_id = peer.location.rpartition("/")[2]
        assert call_at(stack, call_id)["connection_state"] == "connected"
        # B holds the socket, A only notes the end.
        ended = await hang_up(http, stack.a.url, stack.planted.client_key, call_id)
        assert ended.status == 200, ended
        await peer.silence()
    await eventually(lambda: call_at(stack, call_id)["end_reason"] == "hangup")
    assert (await hang_up(http, stack.b.url, handle, call_id)).status == 200
    dump = await store_dump(stack.engine.url)
    assert any(call_id in record for record in dump)
    seen = [handle, peer.answer, peer.location, stack.a.output, stack.b.output, *dump]
    for secret in stack.planted.all_values():
        assert not any(secret in text for text in seen)
    assert not any("Be brief." in text for text in seen)


@pytest.mark.parametrize(
    ("kind", "more", "status"),
    [
        ("drop_before", {}, 201),
        ("truncate", {}, 502),
        ("drop_after", {}, 502),
        ("trickle", {"seconds": 1}, 201),
        ("status", {"status": 429, "headers": {"Retry-After": "3"}}, 429),
        ("status", {"status": 401}, 401),
    ],
)
async def test_each_step_fails_as_a_post_would(
    stack: Stack, http: aiohttp.ClientSession, kind: str, more: dict[str, object], status: int
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, BODY)
    before = handshakes(stack)
    strike(stack, kind, **more)
    async with BrowserPeer(channel=CHANNEL) as peer:
        offer = (await peer.make_offer()).encode()
        reply = await relay(http, stack.b.url, handle, offer)
        assert reply.status == status, reply
        asked = handshakes(stack) - before
        # Only what did not get as far as the offer is tried again.
        assert asked == 1 if kind != "drop_before" else asked > 1
        if status == 201:
            await peer.accept(reply.text)
        if status == 502:
            assert reply.code == "outcome_unknown"
            again = await relay(http, stack.a.url, handle, offer)
            assert (again.status, handshakes(stack) - before) == (502, 1), again
        if status == 429:
            assert reply.headers["retry-after"] == "3"


async def test_calls_end_with_the_replica_that_holds_them_and_are_noted_as_ended(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, BODY)
    with Replica("replica-c", stack.environment()) as leaving:
        call_id = await called(http, leaving.url, handle)
        assert call_at(stack, call_id)["ended_at"] is None
        leaving.stop()
        assert [line["calls"] for line in leaving.events("held_calls_ended")] == [1]
    until(lambda: call_at(stack, call_id)["end_reason"] == "hangup")
    again = await hang_up(http, stack.a.url, stack.planted.client_key, call_id)
    assert again.status == 200, again


async def test_a_call_that_has_lasted_as_long_as_it_may_is_ended_whoever_holds_it(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = {**BODY, "max_call_seconds": SHORTEST_CALL_SECONDS}
    calls = [
        await called(http, replica.url, await minted(http, stack.a.url, stack.planted.client_key, body))
        for replica in (stack.a, stack.b)
    ]
    for call_id in calls:
        await eventually(partial(_hung_up, stack, call_id))
    ended = [line["reason"] for replica in (stack.a, stack.b) for line in replica.events("call_hung_up")]
    assert ended.count("max_call_seconds") == len(calls)


async def test_a_replica_that_is_killed_takes_its_calls_along_and_another_one_can_note_it(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, BODY)
    with Replica("replica-d", stack.environment()) as killed:
        call_id = await called(http, killed.url, handle)
        killed.signal(signal.SIGKILL)
        await eventually(lambda: call_at(stack, call_id)["end_reason"] == "hangup")
    assert (await hang_up(http, stack.a.url, stack.planted.client_key, call_id)).status == 200
