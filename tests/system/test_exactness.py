"""Limited use is exact across replicas, and the same offer never creates a second call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from tests.faults.drill import Progress
from tests.faults.races_http import races_on
from tests.support.api import Reply, minted, relay
from tests.support.offers import fresh_offer
from tests.support.processes import Replica
from tests.support.stack import Stack

ROUNDS = 300
ROUNDS_WITH_FAULTS = 60
AT_ONCE = 8

Pair = tuple[Replica, Replica]


@pytest.fixture(scope="module")
def one_use(static_stack: Stack) -> Iterator[Pair]:
    """Two replicas whose handles are good for one call."""
    one_call = {"CLOAKROOM_HANDLE_MAX_CALLS": "1"}
    with (
        Replica("one-use-a", static_stack.environment(**one_call)) as a,
        Replica("one-use-b", static_stack.environment(**one_call)) as b,
    ):
        yield a, b


def _calls_created(stack: Stack) -> int:
    counts = stack.sandbox.control("GET", "state")["calls"]
    return int(counts["opened"])


@pytest.mark.timeout(900)
async def test_eight_relays_at_once_of_different_offers_have_exactly_one_winner(
    static_stack: Stack, one_use: Pair, http: aiohttp.ClientSession
) -> None:
    created_before = _calls_created(static_stack)
    for number in range(ROUNDS):
        handle = await minted(http, one_use[number % 2].url, static_stack.planted.client_key)
        replies = await asyncio.gather(
            *(relay(http, one_use[index % 2].url, handle) for index in range(AT_ONCE))
        )
        outcomes = Counter(reply.status for reply in replies)
        assert outcomes == {201: 1, 409: AT_ONCE - 1}, (number, outcomes)
        assert {reply.code for reply in replies if reply.status == 409} == {"handle_spent"}
    assert _calls_created(static_stack) - created_before == ROUNDS


@pytest.mark.timeout(900)
async def test_eight_relays_at_once_have_one_winner_though_replies_are_dropped_and_commands_repeated(
    static_stack: Stack,
) -> None:
    """The short form of the drill ``races-http``."""
    figures = await races_on(static_stack, Progress("races-http"), ROUNDS_WITH_FAULTS)
    assert figures["double wins"] == 0
    assert figures["calls at the provider"] == figures["offers at the provider"] == figures["relays that won"]
    assert int(figures["relays that won"]) >= ROUNDS_WITH_FAULTS
    assert int(figures["faults: repeat"]) > 0, "nothing was repeated"


async def test_eight_relays_at_once_of_the_same_offer_all_get_the_one_calls_answer(
    static_stack: Stack, one_use: Pair, http: aiohttp.ClientSession
) -> None:
    rounds = 25
    created_before = _calls_created(static_stack)
    for _ in range(rounds):
        handle = await minted(http, one_use[0].url, static_stack.planted.client_key)
        offer = fresh_offer()
        replies = await asyncio.gather(
            *(relay(http, one_use[index % 2].url, handle, offer) for index in range(AT_ONCE))
        )
        assert {reply.status for reply in replies} == {201}
        assert len({(reply.text, reply.headers["location"]) for reply in replies}) == 1
        again = await relay(http, one_use[1].url, handle, offer)
        assert (again.text, again.headers["location"]) == (
            replies[0].text,
            replies[0].headers["location"],
        )
        spent = await relay(http, one_use[1].url, handle, fresh_offer())
        assert spent.code == "handle_spent"
    assert _calls_created(static_stack) - created_before == rounds


async def test_without_a_limit_a_handle_relays_offer_after_offer(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, static_stack.a.url, static_stack.planted.client_key)
    replies: list[Reply] = []
    for number in range(5):
        replies.append(await relay(http, (static_stack.a, static_stack.b)[number % 2].url, handle))
    assert [reply.status for reply in replies] == [201] * 5
    assert len({reply.headers["location"] for reply in replies}) == 5
