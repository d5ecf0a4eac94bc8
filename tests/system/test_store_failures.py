"""A store that dies or hangs: an honest 503 within the store's deadline, and no key minted for nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.api import Reply, mint, minted, relay
from tests.support.clocks import eventually, kept_deadline
from tests.support.onlooker import async_onlooker
from tests.support.stack import Stack

# The deadline of a store operation here; by default it is less than a second.
STORE_SECONDS = 3


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack of one's own, since these tests break it."""
    with Stack(peer="static", CLOAKROOM_STORE_TIMEOUT_SECONDS=f"{STORE_SECONDS}") as own:
        yield own


def _unavailable(reply: Reply) -> None:
    assert (reply.status, reply.code) == (503, "store_unavailable"), reply
    assert reply.headers["retry-after"] == "1"
    assert "redis" not in reply.text.lower()


async def _ready(http: aiohttp.ClientSession, base: str) -> int:
    async with http.get(f"{base}/readyz") as response:
        return response.status


async def _alive(http: aiohttp.ClientSession, base: str) -> int:
    async with http.get(f"{base}/livez") as response:
        return response.status


async def _until_ready(http: aiohttp.ClientSession, base: str) -> None:
    async def ready() -> bool:
        return await _ready(http, base) == 200

    await eventually(ready, "the replica did not find its store again")


@pytest.mark.parametrize("how", ["dead", "hung"])
async def test_a_store_that_fails_is_a_503_within_its_deadline_and_mints_nothing(
    stack: Stack, http: aiohttp.ClientSession, how: str
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    if how == "dead":
        os.kill(stack.engine.pid, signal.SIGKILL)
    else:
        os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        with kept_deadline(STORE_SECONDS):
            _unavailable(await relay(http, stack.b.url, handle))
        with kept_deadline(STORE_SECONDS):
            _unavailable(await mint(http, stack.a.url, stack.planted.client_key))
        assert await _ready(http, stack.a.url) == 503
        assert await _alive(http, stack.a.url) == 200
        # By now the store is known to be down, so the provider hears nothing more of us.
        stack.sandbox.control("DELETE", "requests")
        for _ in range(10):
            _unavailable(await mint(http, stack.a.url, stack.planted.client_key))
            _unavailable(await relay(http, stack.b.url, handle))
        assert stack.sandbox.control("GET", "state")["requests"] == {}
    finally:
        if how == "hung":
            os.kill(stack.engine.pid, signal.SIGCONT)
        else:
            stack.engine.start()
    await _until_ready(http, stack.a.url)
    await _until_ready(http, stack.b.url)
    # A hung store kept its records; a dead one lost them, and the browser is told to mint again.
    reply = await relay(http, stack.b.url, handle)
    assert reply.status == (201 if how == "hung" else 401), reply
    if how == "dead":
        assert reply.code == "handle_expired"
    assert await minted(http, stack.a.url, stack.planted.client_key)


async def test_a_full_store_is_not_ready_and_mints_nothing(stack: Stack, http: aiohttp.ClientSession) -> None:
    admin = async_onlooker(stack.engine.url, decode=False)
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("maxmemory", "1mb")
    try:
        _unavailable(await mint(http, stack.a.url, stack.planted.client_key))
        assert await _ready(http, stack.a.url) == 503
        stack.sandbox.control("DELETE", "requests")
        _unavailable(await mint(http, stack.a.url, stack.planted.client_key))
        assert stack.sandbox.control("GET", "state")["requests"] == {}
        await admin.config_set("maxmemory", "0")
    finally:
        await admin.aclose()
    await _until_ready(http, stack.a.url)
    assert await minted(http, stack.a.url, stack.planted.client_key)


async def test_a_store_that_restarts_empty_forgets_its_scripts_and_the_service_goes_on(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    await minted(http, stack.a.url, stack.planted.client_key)
    stack.engine.stop()
    stack.engine.start()
    await _until_ready(http, stack.a.url)
    await _until_ready(http, stack.b.url)
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    assert (await relay(http, stack.b.url, handle)).status == 201


async def test_a_call_whose_settlement_the_store_missed_is_answered_and_registered_later(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "calls", "seconds": 3.0})
    relaying = asyncio.create_task(relay(http, stack.b.url, handle))
    await eventually(stack.sandbox.struck)
    os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        reply = await relaying
        assert reply.status == 201
    finally:
        os.kill(stack.engine.pid, signal.SIGCONT)
    late = await asyncio.to_thread(stack.b.wait_for_event, "settled_late")
    assert late["call_id"] == reply.headers["location"].rpartition("/")[2]
