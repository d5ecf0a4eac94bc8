"""Handles without an upstream mint, on two replicas over a real store, with a real WebRTC peer at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.api import hang_up, mint, minted, relay
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.providers import PLACES, Place, settings_for
from tests.support.sinks import assert_nothing_planted_in
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer

FULL = Place("speech-to-speech", {"provider": "speech-to-speech", "base_url": "{provider}/speech-to-speech"})


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Two replicas that have a deployment at each of these providers."""
    planted = Planted()
    with Stack(peer="webrtc", planted=planted, **settings_for(planted)) as running:
        yield running


@pytest.fixture(scope="module")
def full_stack() -> Iterator[Stack]:
    """Two replicas before a server of one slot, and only text for answers."""
    planted = Planted()
    arguments = ("--peer-cap", "1")
    with Stack(
        peer="webrtc", sandbox_arguments=arguments, planted=planted, **settings_for(planted, (FULL,))
    ) as running:
        yield running


def requests(stack: Stack) -> list[dict[str, Any]]:
    """What the provider was asked so far."""
    return list(stack.sandbox.control("GET", "requests")["requests"])


def last_call(stack: Stack) -> dict[str, Any]:
    return dict(stack.sandbox.control("GET", "calls")["calls"][-1])


def credential_of(entry: dict[str, Any]) -> str:
    names = {"authorization", "api-key"}
    return "".join(value for name, value in entry["headers"] if name.lower() in names)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_minted_at_one_replica_called_at_the_other_and_hung_up_at_the_first(
    stack: Stack, http: aiohttp.ClientSession, place: Place
) -> None:
    before, key = len(requests(stack)), stack.planted.client_key
    body = {"model": place.name, "session": {"type": "realtime", **place.session}}
    answer = await mint(http, stack.a.url, key, body)
    assert answer.status == 200, answer
    assert answer.json["session"]["model"] == place.name
    if place.minted is None:
        assert len(requests(stack)) == before, "the mint asks nothing of the provider"
    before = len(requests(stack))
    handle = answer.json["value"]
    async with BrowserPeer(channel=place.channel) as browser:
        await browser.connect(http, f"{stack.b.url}/v1/realtime/calls", handle)
        assert browser.state == "connected"
        (asked,) = requests(stack)[before:]
        if place.minted is not None:
            assert credential_of(asked).startswith(f"Bearer {place.minted}")
        else:
            known = {"{key}": f"Bearer {stack.planted.openai_key}", "{azure_key}": stack.planted.azure_key}
            assert credential_of(asked) == known.get(place.settings.get("api_key", ""), "")
        call = last_call(stack)
        assert (browser.location != "") is place.names_calls
        if place.names_calls:
            assert browser.location == f"/v1/realtime/calls/{call['call_id']}"
        if place.hangs_up:
            assert (await hang_up(http, stack.a.url, handle, call["call_id"])).status == 200
            await browser.silence()
            await eventually(lambda: last_call(stack)["end_reason"] == "hangup")
    assert_nothing_planted_in(stack, "the logs", stack.a.output, stack.b.output)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_the_same_offer_at_either_replica_makes_one_call(
    stack: Stack, http: aiohttp.ClientSession, place: Place
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, {"model": place.name})
    opened = stack.sandbox.control("GET", "state")["calls"]["opened"]
    async with BrowserPeer(channel=place.channel) as browser:
        offer = (await browser.make_offer()).encode()
        first = await relay(http, stack.b.url, handle, offer)
        again = await relay(http, stack.a.url, handle, offer)
    assert (first.status, first.text) == (201, again.text)
    assert stack.sandbox.control("GET", "state")["calls"]["opened"] == opened + 1


async def test_a_call_without_an_id_has_no_limit_that_we_could_keep_and_says_so(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = {"model": "localai", "max_call_seconds": 10}
    handle = await minted(http, stack.a.url, stack.planted.client_key, body)
    async with BrowserPeer() as browser:
        reply = await relay(http, stack.b.url, handle, (await browser.make_offer()).encode())
    assert reply.status == 201, reply
    assert "x-cloakroom-max-call-seconds" not in reply.headers
    assert "location" not in reply.headers
    refused = await hang_up(http, stack.a.url, handle, last_call(stack)["call_id"])
    assert (refused.status, refused.code) == (404, "call_id_not_found")


async def test_what_localai_would_not_get_is_refused_at_the_mint(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = {"model": "localai", "session": {"instructions": "Answer briefly."}}
    refused = await mint(http, stack.a.url, stack.planted.client_key, body)
    assert (refused.status, refused.json["error"]["param"]) == (400, "session.instructions")


async def test_a_full_server_is_told_with_the_time_to_wait_and_mints_wait_too(
    full_stack: Stack, http: aiohttp.ClientSession
) -> None:
    stack, key = full_stack, full_stack.planted.client_key
    handle = await minted(http, stack.a.url, key, {"model": FULL.name})
    async with BrowserPeer() as browser:
        await browser.connect(http, f"{stack.b.url}/v1/realtime/calls", handle)
        async with BrowserPeer() as other:
            full = await relay(http, stack.b.url, handle, (await other.make_offer()).encode())
        assert (full.status, full.code) == (503, "session_limit_reached")
        assert full.headers["retry-after"] == "5"
        assert "Make a new offer when a call is over" in full.text
        # The replica that saw it mints none that would be in vain; the other one does not know yet.
        refused = await mint(http, stack.b.url, key, {"model": FULL.name})
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert (await mint(http, stack.a.url, key, {"model": FULL.name})).status == 200
        call_id = browser.location.rpartition("/")[2]
        assert (await hang_up(http, stack.a.url, key, call_id)).status == 200
    await eventually(lambda: last_call(stack)["ended_at"] is not None)
    assert (await hang_up(http, stack.b.url, key, call_id)).status == 200
