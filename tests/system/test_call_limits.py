"""Limits of calls and handles over two replicas, and what becomes of the places of a replica that dies."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Final

import aiohttp
import pytest

from app.store import keys
from tests.support import api
from tests.support.clocks import eventually
from tests.support.onlooker import onlooker
from tests.support.stack import Stack

KEY: Final = "ck_kiosk7Qz4YtWmP1nXcVbKjHgFdSaReZk8wLr2uTn5v"
LIMITS: Final = {
    "api_key": KEY,
    "max_open_calls": 10,
    "max_live_handles": 40,
    # The shortest that there is: a place whose call is not hung up frees itself five seconds later.
    "max_call_seconds": 10,
}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_CLIENTS=json.dumps({"kiosk": LIMITS})) as own:
        yield own


async def test_both_limits_hold_exactly_while_both_replicas_are_asked_at_once(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    replicas = (stack.a, stack.b)
    minted = await asyncio.gather(*(api.mint(http, replicas[n % 2].url, KEY) for n in range(60)))
    assert Counter(reply.status for reply in minted) == {200: 40, 429: 20}
    handles = [str(reply.json["value"]) for reply in minted if reply.status == 200]
    relayed = await asyncio.gather(
        *(api.relay(http, replicas[n % 2].url, handle) for n, handle in enumerate(handles))
    )
    assert Counter(reply.status for reply in relayed) == {201: 10, 429: 30}
    assert stack.sandbox.control("GET", "state")["calls"]["opened"] == 10


async def test_the_places_of_a_replica_that_died_are_free_again(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    for _ in range(10):
        await api.called(http, stack.a.url, await api.minted(http, stack.a.url, KEY))
    handle = await api.minted(http, stack.b.url, KEY)
    assert (await api.relay(http, stack.b.url, handle)).code == "too_many_calls"
    stack.a.signal(signal.SIGKILL)

    async def again() -> bool:
        return (await api.relay(http, stack.b.url, handle)).status == 201

    # The other replica hangs them up when they have lasted as long as they may.
    await eventually(again)
    with onlooker(stack.engine.url) as client:
        assert client.zcard(keys.open_calls("kiosk")) <= 10
