"""Bound handles between two replicas, with real WebRTC peers: minted at one, presented at the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.support.api import Reply, mint, minted, post, relay
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import certificate, offer_with
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer
from tests.system.commands import Commands

PAGE: Final = "https://app.example.com"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="webrtc", CLOAKROOM_HANDLE_MAX_CALLS="1", CLOAKROOM_CORS_ORIGINS="*") as running:
        yield running


def certificates_of(offer: str) -> list[str]:
    """What a peer's offer names, each once: aiortc names its one certificate by several functions."""
    return sorted(set(re.findall(r"^a=fingerprint:(.*?)\r?$", offer, re.MULTILINE)))


async def bound(http: aiohttp.ClientSession, stack: Stack, bind: dict[str, Any]) -> str:
    body = {"model": "gpt-realtime-2.1", "bind": bind}
    return await minted(http, stack.a.url, stack.planted.client_key, body)


async def test_a_peer_calls_with_its_own_handle_and_no_other_peer_does(
    http: aiohttp.ClientSession, stack: Stack
) -> None:
    opened = stack.sandbox.control("GET", "state")["calls"]["opened"]
    async with BrowserPeer() as owner, BrowserPeer() as thief:
        offer = await owner.make_offer()
        handle = await bound(http, stack, {"fingerprint": certificates_of(offer)})
        for replica in (stack.b, stack.a):
            stolen = await relay(http, replica.url, handle, (await thief.make_offer()).encode())
            assert (stolen.status, stolen.code) == (403, "wrong_certificate")
        assert stack.sandbox.control("GET", "state")["calls"]["opened"] == opened
        answer = await relay(http, stack.b.url, handle, offer.encode())
        assert answer.status == 201, answer
        await owner.accept(answer.text)
        assert owner.state == "connected"
    assert stack.sandbox.control("GET", "state")["calls"]["opened"] == opened + 1


async def test_the_whole_offer_of_another_peer_is_of_no_use_to_a_thief(
    http: aiohttp.ClientSession, stack: Stack
) -> None:
    """He has the handle and the offer, so he gets an answer; without the private key he cannot connect."""
    async with BrowserPeer() as owner, BrowserPeer() as thief:
        offer = await owner.make_offer()
        handle = await bound(http, stack, {"fingerprint": certificates_of(offer)})
        answer = await relay(http, stack.b.url, handle, offer.encode())
        assert answer.status == 201
        # The thief's own offer with the owner's fingerprints in place of his.
        his = await thief.make_offer()
        copied = his
        for line in set(re.findall(r"^a=fingerprint:.*?\r?\n", his, re.MULTILINE)):
            copied = copied.replace(line, "")
        lines = "".join(f"a=fingerprint:{one}\r\n" for one in certificates_of(offer))
        copied = copied.replace("a=setup:actpass\r\n", f"{lines}a=setup:actpass\r\n")
        other = await bound(http, stack, {"fingerprint": certificates_of(offer)})
        taken = await relay(http, stack.b.url, other, copied.encode())
        assert taken.status == 201, taken
        await thief.take(taken.text)
        call_id = taken.headers["location"].rpartition("/")[2]
        # The provider sees that his certificate is not the one that was offered, and ends it.
        await eventually(lambda: call_of(stack, call_id)["end_reason"])
        assert call_of(stack, call_id)["connection_state"] in ("failed", "closed")
        assert thief.frames == 0
        await owner.accept(answer.text)


@pytest.mark.parametrize("other", ["a", "b"])
async def test_the_origin_counts_at_every_replica(
    http: aiohttp.ClientSession, stack: Stack, other: str
) -> None:
    handle, replica = await bound(http, stack, {"origin": PAGE}), getattr(stack, other)
    offer = offer_with(certificate(1))
    assert (await relay(http, replica.url, handle, offer)).code == "wrong_origin"
    assert (
        await relay(http, replica.url, handle, offer, Origin="https://evil.example")
    ).code == "wrong_origin"


async def test_operators_see_the_binding_the_first_use_and_the_theft(
    http: aiohttp.ClientSession, stack: Stack
) -> None:
    reply = await mint(
        http,
        stack.a.url,
        stack.planted.client_key,
        {"model": "gpt-realtime-2.1", "bind": {"origin": PAGE, "fingerprint": certificate(1)}},
    )
    assert reply.json["bind"] == {"origin": PAGE, "fingerprint": certificate(1)}
    handle = reply.json["value"]
    agent = {"User-Agent": "Thief/1.0"}
    stolen = await relay(http, stack.b.url, handle, offer_with(certificate(2)), Origin=PAGE, **agent)
    assert stolen.code == "wrong_certificate"
    (event,) = [line for line in stack.b.events("security_event") if line["handle"] == id_of(handle)]
    assert (event["kind"], event["client"]) == ("wrong_certificate", "shop")
    assert event["expected"] == {"origin": PAGE, "fingerprint": certificate(1)}
    assert event["seen"] == {
        "origin": PAGE,
        "fingerprint": certificate(2),
        "address": "127.0.0.1",
        "user_agent": "Thief/1.0",
    }
    commands = Commands(stack)
    said = commands.run("handles", "show", id_of(handle)).out
    assert f"bound to   page {PAGE}\n           certificate {certificate(1)}" in said
    assert "first use" not in said

    async def noted() -> bool:
        return "wrong_certificate" in commands.run("handles", "show", id_of(handle)).out

    await eventually(noted)


async def test_any_replica_tells_the_bearer_how_his_handle_stands(
    http: aiohttp.ClientSession, stack: Stack
) -> None:
    handle = await bound(http, stack, {"fingerprint": certificate(1)})
    for replica, state in ((stack.a, "live"), (stack.b, "live")):
        assert (await lookup(http, replica.url, handle)).json["state"] == state
    assert (await relay(http, stack.a.url, handle, offer_with(certificate(2)))).code == "wrong_certificate"
    told = (await lookup(http, stack.b.url, handle)).json
    assert (told["state"], told["uses_left"]) == ("live", 1)


def call_of(stack: Stack, call_id: str) -> dict[str, Any]:
    """What the provider remembers of a call."""
    (found,) = [one for one in stack.sandbox.control("GET", "calls")["calls"] if one["call_id"] == call_id]
    return dict(found)


async def lookup(http: aiohttp.ClientSession, base: str, handle: str) -> Reply:
    headers = {"Authorization": f"Bearer {handle}"}
    return await post(http, f"{base}/v1/realtime/handles/lookup", headers=headers)


def id_of(handle: str) -> str:
    return str(claims_of(handle)["jti"])
