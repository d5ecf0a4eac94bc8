"""A handle lives as long as its key and never longer, whatever the provider's clock says."""

from __future__ import annotations

import math
import time

import aiohttp
import pytest

from app.store import keys
from tests.support.api import mint, minted, relay
from tests.support.handles import claims_of
from tests.support.onlooker import async_onlooker
from tests.support.stack import Stack

SECONDS = 120
# What a life is cut by, since a provider's clock is known to the second, and since the record is on its way.
SECOND, WRITING = 1.0, 0.1
PROMPT = 1.5
# Of milliseconds that are rounded off, and of clocks that are read with fractions.
ROUNDING = 0.02


@pytest.mark.parametrize("skew", [0.0, 90.0, -90.0, 90.5, -3600.0])
async def test_a_handle_and_its_record_end_with_the_key_or_up_to_a_second_before_it(
    static_stack: Stack, http: aiohttp.ClientSession, skew: float
) -> None:
    """Every bound is made of what was measured around it, so that a slow machine makes it wider."""
    static_stack.sandbox.control("PUT", "clock", {"skew": skew})
    store = async_onlooker(static_stack.engine.url, decode=False)
    try:
        body = {
            "session": {"type": "realtime", "model": "gpt-realtime-2.1"},
            "expires_after": {"anchor": "created_at", "seconds": SECONDS},
        }
        asked = time.time()
        reply = await mint(http, static_stack.a.url, static_stack.planted.client_key, body)
        minted_at = time.time()
        claims = claims_of(reply.json["value"])
        looked = time.time()
        ttl = await store.pttl(keys.handle(claims["jti"])) / 1000
        seen = time.time()
        under_way = minted_at - asked
        # The key's end on our clock. The provider counts whole seconds of its own.
        earliest, latest = (math.floor(at + skew) + SECONDS - skew for at in (asked, minted_at))
        assert looked + ttl <= latest, "the record outlives its key"
        assert seen + ttl >= earliest - SECOND - under_way - WRITING - ROUNDING
        # The handle ends with its record, on our clock in whole seconds, however far off the provider's is.
        assert claims["exp"] <= latest + ROUNDING, "the handle outlives its key"
        assert looked + ttl < claims["exp"] + SECOND + under_way
        assert seen + ttl > claims["exp"] - WRITING - ROUNDING
        assert reply.json["expires_at"] == claims["exp"]
        assert (await relay(http, static_stack.b.url, reply.json["value"])).status == 201
    finally:
        static_stack.sandbox.control("PUT", "clock", {"skew": 0})
        await store.aclose()


async def test_clocks_in_step_keep_the_providers_own_expires_at(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    asked = time.time()
    reply = await mint(http, static_stack.a.url, static_stack.planted.client_key)
    under_way = time.time() - asked
    # After a slow answer it cannot be told that the clocks are in step.
    slack = 0 if under_way <= PROMPT else 2
    assert math.floor(asked) + 600 - slack <= reply.json["expires_at"] <= asked + under_way + 600


async def test_a_handle_that_outlived_its_key_is_expired_and_reaches_no_provider(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, static_stack.a.url, static_stack.planted.client_key)
    store = async_onlooker(static_stack.engine.url, decode=False)
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
