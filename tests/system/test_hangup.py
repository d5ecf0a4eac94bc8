"""Hanging up with real processes: minted on A, relayed on B, ended on A, through the official SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import openai
import pytest

from tests.support.api import called, hang_up, minted, relay
from tests.support.clocks import eventually, until
from tests.support.handles import claims_of
from tests.support.sinks import assert_nothing_planted_in
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer
from tests.system.hangups import call_at, line_of, made, sdk

KIOSK_KEY: Final = "ck_kiosk7Qz4YtWmP1nXcVbKjHgFdSaReZk8wLr2uTn5v"


@pytest.fixture
async def backend(static_stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """The customer's backend: mints and hangs up on A with its client key."""
    async with sdk(static_stack.a, static_stack.planted.client_key) as client:
        yield client


async def test_the_sdk_ends_a_call_at_another_replica_than_the_one_that_made_it(
    static_stack: Stack, backend: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    handle, call_id = await made(static_stack, http)
    assert call_at(static_stack, call_id)["ended_at"] is None
    await backend.realtime.calls.hangup(call_id)
    assert call_at(static_stack, call_id)["end_reason"] == "hangup"
    line = line_of(static_stack.a, call_id)
    assert (line["status"], line["outcome"], line["client"]) == (200, "ended", "shop")
    assert (line["deployment"], line["model"], line["level"]) == ("openai", "gpt-realtime-2.1", "info")
    assert {"handle", "request_id", "replica", "total_ms", "provider_ms", "store_ms"} <= line.keys()
    assert 0 < line["provider_ms"] < line["total_ms"]
    # Again, at either replica and by either credential: it is over, and the provider is left alone.
    for replica in (static_stack.a, static_stack.b):
        for credential in (static_stack.planted.client_key, handle):
            async with sdk(replica, credential) as client:
                await client.realtime.calls.hangup(call_id)
    journal = static_stack.sandbox.control("GET", "requests")["requests"]
    assert len([entry for entry in journal if entry["path"].endswith(f"{call_id}/hangup")]) == 1
    assert line_of(static_stack.b, call_id)["outcome"] == "repeated"
    assert line_of(static_stack.b, call_id)["provider_ms"] == 0
    assert_nothing_planted_in(static_stack, "the logs", static_stack.a.output, static_stack.b.output)


async def test_the_sdk_of_a_page_ends_its_own_call_with_the_handle_and_no_other(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle, call_id = await made(static_stack, http)
    _, foreign_id = await made(static_stack, http)
    async with sdk(static_stack.a, handle) as page:
        with pytest.raises(openai.NotFoundError) as refused:
            await page.realtime.calls.hangup(foreign_id)
        assert (refused.value.code, refused.value.param) == ("call_id_not_found", "call_id")
        await page.realtime.calls.hangup(call_id)
    assert call_at(static_stack, call_id)["end_reason"] == "hangup"
    assert call_at(static_stack, foreign_id)["ended_at"] is None
    line = line_of(static_stack.a, foreign_id)
    assert (line["status"], line["code"], line["provider_ms"]) == (404, "call_id_not_found", 0)


async def test_another_client_cannot_end_the_call_or_learn_of_it(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    _, call_id = await made(static_stack, http)
    both = f"shop:{static_stack.planted.client_key},kiosk:{KIOSK_KEY}"
    replica = static_stack.replica("replica-c", CLOAKROOM_API_KEYS=both)
    async with sdk(replica, KIOSK_KEY) as stranger:
        refusals = []
        for known in (call_id, "rtc_nobody"):
            with pytest.raises(openai.NotFoundError) as refused:
                await stranger.realtime.calls.hangup(known)
            refusals.append((refused.value.body, refused.value.status_code))
    assert refusals[0] == refusals[1]
    assert call_at(static_stack, call_id)["ended_at"] is None
    assert (await hang_up(http, replica.url, static_stack.planted.client_key, call_id)).status == 200
    assert call_at(static_stack, call_id)["end_reason"] == "hangup"


async def test_a_handle_that_really_expired_still_ends_its_call_and_opens_no_other(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    # Ten seconds are the shortest life that the provider gives a key.
    body = {"model": "gpt-realtime-2.1", "expires_after": {"anchor": "created_at", "seconds": 10}}
    handle = await minted(http, static_stack.a.url, static_stack.planted.client_key, body)
    call_id = await called(http, static_stack.b.url, handle)
    await asyncio.sleep(claims_of(handle)["exp"] - time.time() + 0.1)
    assert (await relay(http, static_stack.b.url, handle)).code == "handle_expired"
    async with sdk(static_stack.a, handle) as page:
        await page.realtime.calls.hangup(call_id)
    assert call_at(static_stack, call_id)["end_reason"] == "hangup"


@pytest.mark.parametrize("by", ["client", "handle"])
async def test_a_real_webrtc_call_closes_in_the_browser(
    webrtc_stack: Stack, http: aiohttp.ClientSession, by: str
) -> None:
    handle = await minted(http, webrtc_stack.a.url, webrtc_stack.planted.client_key)
    credential = handle if by == "handle" else webrtc_stack.planted.client_key
    async with BrowserPeer() as peer:
        await peer.connect(http, f"{webrtc_stack.b.url}/v1/realtime/calls", handle)
        call_id = peer.location.rpartition("/")[2]
        assert (peer.state, call_at(webrtc_stack, call_id)["connection_state"]) == ("connected", "connected")
        async with sdk(webrtc_stack.a, credential) as client:
            await client.realtime.calls.hangup(call_id)
        assert call_at(webrtc_stack, call_id)["end_reason"] == "hangup"
        await eventually(lambda: peer.state == "closed")
        await peer.silence()
    assert call_at(webrtc_stack, call_id)["connection_state"] == "closed"


async def test_eight_hang_ups_at_once_over_two_replicas_all_succeed(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle, call_id = await made(static_stack, http)
    replies = await asyncio.gather(
        *(
            hang_up(http, replica.url, credential, call_id)
            for replica in (static_stack.a, static_stack.b)
            for credential in (handle, static_stack.planted.client_key) * 2
        )
    )
    assert [reply.status for reply in replies] == [200] * 8
    assert call_at(static_stack, call_id)["end_reason"] == "hangup"

    def outcomes() -> list[str]:
        return [
            line["outcome"]
            for replica in (static_stack.a, static_stack.b)
            for line in replica.events("hangup")
            if line["call_id"] == call_id
        ]

    # A line may be written just after its answer.
    until(lambda: len(outcomes()) == 8)
    assert outcomes().count("ended") == 1
