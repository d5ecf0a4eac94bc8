"""SIGTERM turns readiness first, goes on serving, and then finishes what is in flight."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from tests.support.api import minted, relay
from tests.support.clocks import eventually
from tests.support.stack import Stack


async def _ready(http: aiohttp.ClientSession, base: str) -> tuple[int, str]:
    async with http.get(f"{base}/readyz") as response:
        body = await response.json()
        return response.status, body.get("status") or body["error"]["code"]


async def test_a_draining_replica_says_so_and_still_serves(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = static_stack.replica("draining", CLOAKROOM_DRAIN_SECONDS="6")
    handle = await minted(http, replica.url, static_stack.planted.client_key)
    assert await _ready(http, replica.url) == (200, "ready")
    replica.signal(signal.SIGTERM)
    await asyncio.to_thread(replica.wait_for_event, "draining")
    assert await _ready(http, replica.url) == (503, "draining")
    reply = await relay(http, replica.url, handle)
    assert reply.status == 201
    assert reply.headers["connection"] == "close"
    assert await asyncio.to_thread(replica.wait) == 0
    with pytest.raises(aiohttp.ClientConnectorError):
        await _ready(http, replica.url)


async def test_a_relay_in_flight_is_finished_and_settled(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = static_stack.replica("finishing", CLOAKROOM_DRAIN_SECONDS="0")
    handle = await minted(http, replica.url, static_stack.planted.client_key)
    static_stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "calls", "seconds": 3.0})
    relaying = asyncio.create_task(relay(http, replica.url, handle))
    await eventually(static_stack.sandbox.struck)
    replica.signal(signal.SIGTERM)
    reply = await relaying
    assert reply.status == 201
    assert await asyncio.to_thread(replica.wait) == 0
    relayed = replica.wait_for_event("relay")
    assert reply.headers["location"].endswith(relayed["call_id"])


async def test_a_browser_that_hangs_up_midway_leaves_a_settled_call(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, static_stack.a.url, static_stack.planted.client_key)
    static_stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "calls", "seconds": 1.0})
    from tests.support.offers import fresh_offer

    offer = fresh_offer()
    opened = static_stack.sandbox.control("GET", "state")["calls"]["opened"]
    relaying = asyncio.create_task(relay(http, static_stack.a.url, handle, offer))
    await eventually(static_stack.sandbox.struck)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    # The browser lost the answer, asks again on the other replica, and gets that one call's answer.
    reply = await relay(http, static_stack.b.url, handle, offer)
    assert reply.status == 201
    assert static_stack.sandbox.control("GET", "state")["calls"]["opened"] == opened + 1


async def test_a_second_signal_ends_at_once(static_stack: Stack) -> None:
    replica = static_stack.replica("impatient", CLOAKROOM_DRAIN_SECONDS="300")
    replica.signal(signal.SIGTERM)
    await asyncio.to_thread(replica.wait_for_event, "draining")
    replica.signal(signal.SIGINT)
    assert await asyncio.to_thread(replica.wait) == -signal.SIGINT
