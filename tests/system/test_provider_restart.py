"""A provider that goes away and comes back: no kept connection of before spoils an offer afterwards."""

from __future__ import annotations

import asyncio
import signal
from urllib.parse import urlsplit

import aiohttp

from tests.support.api import mint, minted, relay
from tests.support.processes import Sandbox
from tests.support.stack import Stack

AT_ONCE = 12


async def test_the_first_offers_after_a_restart_are_answered_over_new_connections(
    http: aiohttp.ClientSession,
) -> None:
    # A mint is tried again by itself, an offer never is: it would fail on a dead connection.
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS="1") as stack:
        key = stack.planted.client_key

        async def handles() -> list[str]:
            return await asyncio.gather(*(minted(http, stack.a.url, key) for _ in range(AT_ONCE)))

        replies = await asyncio.gather(*(relay(http, stack.b.url, one) for one in await handles()))
        assert {reply.status for reply in replies} == {201}
        unused = await minted(http, stack.a.url, key)

        port = urlsplit(stack.sandbox.url).port
        stack.sandbox.signal(signal.SIGKILL)
        stack.sandbox.wait()
        # Nothing was sent, so the handle's one use is given back, again and again.
        for _ in range(2):
            reply = await relay(http, stack.b.url, unused)
            assert (reply.status, reply.code) == (502, "upstream_unreachable")
        assert (await mint(http, stack.a.url, key)).code == "upstream_unreachable"

        with Sandbox(
            "--peer",
            "static",
            "--port",
            str(port),
            openai_key=stack.planted.openai_key,
            azure_key=stack.planted.azure_key,
        ) as again:
            assert again.url == stack.sandbox.url
            replies = await asyncio.gather(*(relay(http, stack.b.url, one) for one in await handles()))
            assert {reply.status for reply in replies} == {201}
            assert again.control("GET", "state")["calls"]["opened"] == AT_ONCE
