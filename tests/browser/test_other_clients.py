"""Clients that know nothing of us, on pages of another origin: a guide's code, and the stock SDK from npm."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from playwright.async_api import Error

from tests.browser.conftest import OpenTab
from tests.browser.elsewhere import Elsewhere
from tests.browser.service import Service
from tests.browser.tab import FAILED_ANSWER, REFUSED_BY_CORS
from tests.support.api import minted

pytestmark = pytest.mark.asyncio(loop_scope="session")


def opened(service: Service) -> int:
    """How many calls the provider has opened so far."""
    return int(service.sandbox.control("GET", "state")["calls"]["opened"])


async def test_the_client_of_litellms_guide_works_with_only_its_base_url_changed(
    open_tab: OpenTab, service: Service, elsewhere: Elsewhere
) -> None:
    tab = await open_tab()
    await tab.page.goto(f"{elsewhere.known}/pages/guide.html")

    relayed: Any = await tab.page.evaluate(
        "([base, key]) => startCall(base, key)", [service.url("replica-a"), service.planted.client_key]
    )

    assert relayed["status"] == 201
    call = service.sandbox.control("GET", "calls")["calls"][-1]
    assert relayed["location"] == f"/v1/realtime/calls/{call['call_id']}"
    await tab.page.wait_for_function("pc.connectionState === 'connected'")
    await tab.page.wait_for_function("kinds.includes('session.created') && kinds.includes('response.done')")
    await tab.page.wait_for_function("document.querySelector('#audio').currentTime > 0.3")
    assert (await tab.hears())["bytes"] > 0


async def test_the_stock_sdk_from_npm_connects_learns_its_call_id_and_converses(
    open_tab: OpenTab, service: Service, elsewhere: Elsewhere, sdk: None
) -> None:
    async with aiohttp.ClientSession() as backend:
        handle = await minted(backend, service.url("replica-a"), service.planted.client_key)
    tab = await open_tab()
    await tab.page.goto(f"{elsewhere.known}/pages/sdk.html")

    connected: Any = await tab.page.evaluate(
        "([url, key]) => startSession(url, key)", [f"{service.url('replica-b')}/v1/realtime/calls", handle]
    )

    call = service.sandbox.control("GET", "calls")["calls"][-1]
    assert connected == {"status": "connected", "callId": call["call_id"]}
    await tab.page.wait_for_function("events.some((event) => event.type === 'session.updated')")
    session: Any = await tab.page.evaluate(
        "events.findLast((event) => event.type === 'session.updated').session"
    )
    assert session["instructions"] == "Answer in one short sentence."

    await tab.page.evaluate("session.sendMessage('Good evening.')")
    await tab.page.wait_for_function("events.some((event) => event.type === 'response.done')")
    await tab.page.wait_for_function(
        "said.some((item) => item.role === 'assistant' && "
        "item.content.some((part) => part.transcript?.includes('You said: Good evening.')))"
    )
    assert (await tab.inbound_audio())["bytes"] > 0
    await tab.page.evaluate("session.close()")


async def test_the_stock_sdk_shows_our_message_when_its_handle_is_not_ours(
    open_tab: OpenTab, service: Service, elsewhere: Elsewhere, sdk: None
) -> None:
    tab = await open_tab(expected=(FAILED_ANSWER,))
    await tab.page.goto(f"{elsewhere.known}/pages/sdk.html")

    with pytest.raises(Error, match=r"status 401.*This handle is not valid here"):
        await tab.page.evaluate(
            "(url) => startSession(url, 'ek_forged')", f"{service.url('replica-b')}/v1/realtime/calls"
        )


async def test_a_page_of_an_unknown_origin_gets_neither_handle_nor_call(
    open_tab: OpenTab, service: Service, elsewhere: Elsewhere
) -> None:
    before = service.sandbox.control("GET", "state")["keys"]["minted"], opened(service)
    tab = await open_tab(expected=(FAILED_ANSWER, REFUSED_BY_CORS))
    await tab.page.goto(f"{elsewhere.unknown}/pages/guide.html")

    with pytest.raises(Error, match="Failed to fetch"):
        await tab.page.evaluate(
            "([base, key]) => startCall(base, key)", [service.url("replica-a"), service.planted.client_key]
        )

    assert (service.sandbox.control("GET", "state")["keys"]["minted"], opened(service)) == before
