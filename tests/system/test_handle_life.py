"""A handle lives exactly as long as its key, whatever the provider's clock says."""

from __future__ import annotations

import time

import aiohttp
import pytest

from app.store import keys
from tests.support.api import mint, minted, relay
from tests.support.handles import claims_of
from tests.support.onlooker import async_onlooker
from tests.support.stack import Stack

SECONDS = 120


@pytest.mark.parametrize("skew", [0.0, 90.0, -90.0, 90.5, -3600.0])
async def test_the_records_ttl_equals_the_providers_within_a_second(
    static_stack: Stack, http: aiohttp.ClientSession, skew: float
) -> None:
    static_stack.sandbox.control("PUT", "clock", {"skew": skew})
    store = async_onlooker(static_stack.engine.url, decode=False)
    try:
        body = {
            "session": {"type": "realtime", "model": "gpt-realtime"},
            "expires_after": {"anchor": "created_at", "seconds": SECONDS},
        }
        started = time.time()
        reply = await mint(http, static_stack.a.url, static_stack.planted.client_key, body)
        claims = claims_of(reply.json["value"])
        asked = time.time()
        ttl = await store.pttl(keys.handle(claims["jti"])) / 1000
        told = time.time()
        # The provider counts whole seconds, so the key may live up to one second less than asked for.
        assert SECONDS - 1 - (told - started) <= ttl <= SECONDS + 1
        # The handle ends with its record, on our clock, however far off the provider's is. The record ends
        # ``ttl`` after a moment between the question and the reply.
        assert asked + ttl - 1 <= claims["exp"] <= told + ttl + 1
        assert reply.json["expires_at"] == claims["exp"]
        assert (await relay(http, static_stack.b.url, reply.json["value"])).status == 201
    finally:
        static_stack.sandbox.control("PUT", "clock", {"skew": 0})
        await store.aclose()


async def test_clocks_in_step_keep_the_providers_own_expires_at(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    def provider_time() -> float:
        return float(static_stack.sandbox.control("GET", "state")["clock"]["time"])

    before = provider_time()
    reply = await mint(http, static_stack.a.url, static_stack.planted.client_key)
    assert before + 600 - 1 <= reply.json["expires_at"] <= provider_time() + 600 + 1


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
