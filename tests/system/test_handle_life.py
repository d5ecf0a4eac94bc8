"""A handle lives exactly as long as its key, whatever the provider's clock says."""

from __future__ import annotations

import time

import aiohttp
import pytest
import redis.asyncio as redis

from app.store import keys
from tests.support.api import mint, minted, relay
from tests.support.handles import claims_of
from tests.support.stack import Stack

SECONDS = 120


@pytest.mark.parametrize("skew", [0.0, 90.0, -90.0, 90.5, -3600.0])
async def test_the_records_ttl_equals_the_providers_within_a_second(
    static_stack: Stack, http: aiohttp.ClientSession, skew: float
) -> None:
    static_stack.sandbox.control("PUT", "clock", {"skew": skew})
    store = redis.Redis.from_url(static_stack.engine.url)
    try:
        body = {
            "session": {"type": "realtime", "model": "gpt-realtime-2.1"},
            "expires_after": {"anchor": "created_at", "seconds": SECONDS},
        }
        started = time.time()
        reply = await mint(http, static_stack.a.url, static_stack.planted.client_key, body)
        claims = claims_of(reply.json["value"])
        ttl = await store.pttl(keys.handle(claims["jti"])) / 1000
        elapsed = time.time() - started
        # The provider counts whole seconds, so the key may live up to one second less than asked for.
        assert SECONDS - 1 - elapsed <= ttl <= SECONDS + 1
        # The handle ends with its record, on our clock, however far off the provider's is.
        assert abs(claims["exp"] - (time.time() + ttl)) <= 1
        assert reply.json["expires_at"] == claims["exp"]
        assert (await relay(http, static_stack.b.url, reply.json["value"])).status == 201
    finally:
        static_stack.sandbox.control("PUT", "clock", {"skew": 0})
        await store.aclose()


async def test_clocks_in_step_keep_the_providers_own_expires_at(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    reply = await mint(http, static_stack.a.url, static_stack.planted.client_key)
    journal = static_stack.sandbox.control("GET", "state")
    assert abs(reply.json["expires_at"] - (journal["clock"]["time"] + 600)) <= 1.5


async def test_a_handle_that_outlived_its_key_is_expired_and_reaches_no_provider(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, static_stack.a.url, static_stack.planted.client_key)
    store = redis.Redis.from_url(static_stack.engine.url)
    try:
        # What Redis does at the end of the life, done now.
        await store.pexpire(keys.handle(claims_of(handle)["jti"]), 1)
    finally:
        await store.aclose()
    time.sleep(0.01)  # noqa: ASYNC251 - a millisecond has to pass
    static_stack.sandbox.control("DELETE", "requests")
    reply = await relay(http, static_stack.b.url, handle)
    assert (reply.status, reply.code) == (401, "handle_expired")
    assert static_stack.sandbox.control("GET", "state")["requests"] == {}
