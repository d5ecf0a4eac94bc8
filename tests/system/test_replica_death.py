"""A replica that dies or stands still while the provider thinks: the same offer elsewhere is told soon.

The deadline of a relay is longer here than any test waits, so that an answer cannot come from it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from app.store import keys
from tests.support.api import Reply, minted, relay
from tests.support.clocks import eventually, kept_deadline
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.onlooker import onlooker
from tests.support.scrape import scrape
from tests.support.stack import Stack

# What the issue promises.
KNOWN_SECONDS = 2.0
SECOND = 1.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Tests that break a replica start one more for that."""
    with Stack(
        peer="static", CLOAKROOM_RELAY_TIMEOUT_SECONDS="120", CLOAKROOM_STORE_TIMEOUT_SECONDS="30"
    ) as own:
        yield own


@pytest.fixture(autouse=True)
def no_faults(stack: Stack) -> Iterator[None]:
    yield
    stack.sandbox.control("DELETE", "faults")


def calls_asked_for(stack: Stack) -> int:
    """How many offers the provider has had."""
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    return sum(count for path, count in requests.items() if path.endswith("/calls"))


def record(stack: Stack, handle: str) -> dict[str, str]:
    with onlooker(stack.engine.url) as client:
        found: dict[str, str] = client.hgetall(keys.handle(str(claims_of(handle)["jti"])))
        return found


async def struck(stack: Stack, fault: dict[str, Any], sending: Any) -> asyncio.Task[Any]:
    """Send an offer, and return when the provider has it and this fault keeps it there."""
    stack.sandbox.control("POST", "faults", {"path": "calls", **fault})
    task = asyncio.create_task(sending)
    await eventually(stack.sandbox.struck)
    return task


def assert_unknown(reply: Reply) -> None:
    assert (reply.status, reply.code) == (502, "outcome_unknown"), reply


async def test_the_offer_of_a_killed_replica_is_known_to_be_unknown_at_the_others_and_sent_once(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    doomed = stack.replica("doomed")
    handle, offer = await minted(http, doomed.url, stack.planted.client_key), fresh_offer()
    before = calls_asked_for(stack)
    first = await struck(stack, {"kind": "stall"}, relay(http, doomed.url, handle, offer))
    # One that waits already, and one that comes later, through a restart under the same name.
    waiting = asyncio.create_task(relay(http, stack.b.url, handle, offer))

    async def waits() -> bool:
        # This request and the one that waits.
        return (await scrape(http, stack.b.url)).value("cloakroom_requests_in_flight") == 2

    await eventually(waits)
    doomed.signal(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await first
    with kept_deadline(KNOWN_SECONDS):
        assert_unknown(await waiting)
    again = stack.replica("doomed")
    for replica in (again, stack.a, stack.b):
        assert_unknown(await relay(http, replica.url, handle, offer))
    assert calls_asked_for(stack) - before == 1
    assert record(stack, handle)["relay_1"].endswith(" outcome_unknown")
    (told,) = stack.b.events("claim_abandoned")
    assert told["holder"].startswith("doomed.")
    assert told["handle"] == claims_of(handle)["jti"]
    # A new offer is served at once, as the error says.
    assert (await relay(http, stack.b.url, handle)).status == 201


async def test_a_restart_under_the_same_name_does_not_revive_the_claim_of_the_dead(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    doomed = stack.replica("phoenix")
    handle, offer = await minted(http, doomed.url, stack.planted.client_key), fresh_offer()
    first = await struck(stack, {"kind": "stall"}, relay(http, doomed.url, handle, offer))
    doomed.signal(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await first
    again = stack.replica("phoenix")
    before = calls_asked_for(stack)
    replies = [relay(http, replica.url, handle, offer) for replica in (again, stack.a, stack.b)]
    with kept_deadline(KNOWN_SECONDS):
        for reply in await asyncio.gather(*replies):
            assert_unknown(reply)
    assert calls_asked_for(stack) == before
    assert record(stack, handle)["relays"] == "1", "three that noticed the death noted it once"


async def test_a_replica_that_stood_still_and_goes_on_still_settles_its_call(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    frozen = stack.replica("frozen")
    handle, offer = await minted(http, frozen.url, stack.planted.client_key), fresh_offer()
    before = calls_asked_for(stack)
    slow = {"kind": "delay", "seconds": SECOND}
    first = await struck(stack, slow, relay(http, frozen.url, handle, offer))
    frozen.signal(signal.SIGSTOP)
    try:
        with kept_deadline(KNOWN_SECONDS):
            assert_unknown(await relay(http, stack.b.url, handle, offer))
    finally:
        frozen.signal(signal.SIGCONT)
    late = await first
    assert late.status == 201
    replayed = await relay(http, stack.b.url, handle, offer)
    assert (replayed.status, replayed.text) == (201, late.text)
    assert replayed.headers["location"] == late.headers["location"]
    assert calls_asked_for(stack) - before == 1
    told, call_id = record(stack, handle), late.headers["location"].rpartition("/")[2]
    assert told["relay_1"].endswith(" outcome_unknown")
    assert told["relay_2"].endswith(f" answered {call_id}")
    assert (told["calls"], told["relays"]) == ("1", "2")


async def test_a_provider_that_thinks_for_long_costs_a_living_replica_nothing(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle, offer = await minted(http, stack.a.url, stack.planted.client_key), fresh_offer()
    slow = {"kind": "delay", "seconds": 3 * KNOWN_SECONDS}
    first = await struck(stack, slow, relay(http, stack.a.url, handle, offer))
    second = await relay(http, stack.b.url, handle, offer)
    assert (second.status, second.text) == (201, (await first).text)
    assert record(stack, handle)["relays"] == "1"


async def test_a_store_that_hangs_costs_a_living_replica_nothing(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle, offer = await minted(http, stack.a.url, stack.planted.client_key), fresh_offer()
    slow = {"kind": "delay", "seconds": 5 * KNOWN_SECONDS}
    first = await struck(stack, slow, relay(http, stack.a.url, handle, offer))
    waiting = asyncio.create_task(relay(http, stack.b.url, handle, offer))
    for _ in range(2):
        await asyncio.sleep(SECOND / 2)
        os.kill(stack.engine.pid, signal.SIGSTOP)
        await asyncio.sleep(1.5 * KNOWN_SECONDS)
        os.kill(stack.engine.pid, signal.SIGCONT)
    second = await waiting
    assert (second.status, second.text) == (201, (await first).text)
    assert record(stack, handle)["relays"] == "1"
