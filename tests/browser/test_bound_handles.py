"""A real browser binds its handles: its own offer works, that of another browser with the same handle not."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import pytest
from playwright.async_api import Playwright, expect

from tests.browser.chromium import launch
from tests.browser.conftest import OpenDemo, OpenTab
from tests.browser.demo import Demo
from tests.browser.service import Service
from tests.browser.tab import FAILED_ANSWER
from tests.support.api import mint

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The page's certificate, kept in the page; what it mints with, and what the browser itself says of it.
_CERTIFICATE: Final = """async () => {
  const { ownCertificate } = await import("/demo/cloakroom.js");
  window.own = await ownCertificate();
  const [{ algorithm, value }] = window.own.certificate.getFingerprints();
  return { bind: window.own.bind, says: `${algorithm} ${value}` };
}"""
# A call with that certificate, or with a new one of the browser's.
_CALL: Final = """async ([callsUrl, handle, mine]) => {
  const { connect } = await import("/demo/cloakroom.js");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const certificate = mine ? window.own.certificate : undefined;
  try {
    window.call = await connect({ callsUrl, handle, stream, certificate });
  } catch (error) {
    return { code: error.code, status: error.status, action: error.action };
  }
  return window.call.pc.connectionState;
}"""


async def minted(service: Service, bind: Any) -> str:
    async with aiohttp.ClientSession() as backend:
        body = {"model": "gpt-realtime-2.1", "bind": bind}
        reply = await mint(backend, service.url("replica-a"), service.planted.client_key, body)
    assert reply.status == 200, reply
    assert set(reply.json["bind"]) == set(bind)
    return str(reply.json["value"])


async def call(demo: Demo, service: Service, handle: str, *, mine: bool = True) -> Any:
    return await demo.page.evaluate(_CALL, [f"{service.url('replica-b')}/v1/realtime/calls", handle, mine])


async def test_the_same_handle_is_refused_to_another_browser_and_works_for_its_own_page(
    open_demo: OpenDemo, service: Service, playwright: Playwright
) -> None:
    demo, _tab = await open_demo()
    made = await demo.page.evaluate(_CERTIFICATE)
    # What the first offer names is what the browser says of its certificate.
    assert made["bind"]["fingerprint"].lower() == made["says"].lower()
    assert made["bind"]["origin"] == service.url("replica-a")
    handle = await minted(service, made["bind"])
    calls = service.sandbox.control("GET", "state")["calls"]["opened"]
    refused = {"code": "wrong_certificate", "status": 403, "action": "mint"}

    other_browser = await launch(playwright)
    try:
        thief, _ = await open_demo(within=other_browser, expected=(FAILED_ANSWER,))
        await thief.page.evaluate(_CERTIFICATE)
        assert await call(thief, service, handle) == refused
        # Not even with the page's own browser, once it makes another certificate.
        tab_of_the_same_browser, _ = await open_demo(expected=(FAILED_ANSWER,))
        assert await call(tab_of_the_same_browser, service, handle, mine=False) == refused
    finally:
        await other_browser.close()
    assert service.sandbox.control("GET", "state")["calls"]["opened"] == calls

    assert await call(demo, service, handle) == "connected"
    assert service.sandbox.control("GET", "state")["calls"]["opened"] == calls + 1
    await demo.page.evaluate("window.call.close()")


async def test_one_certificate_serves_the_next_call_too(open_demo: OpenDemo, service: Service) -> None:
    demo, _tab = await open_demo()
    bind = (await demo.page.evaluate(_CERTIFICATE))["bind"]
    for _ in range(2):
        assert await call(demo, service, await minted(service, bind)) == "connected"
        await demo.page.evaluate("window.call.close()")


async def test_a_page_of_another_origin_is_refused_by_what_the_browser_says_of_it(
    open_tab: OpenTab, service: Service
) -> None:
    tab = await open_tab(expected=(FAILED_ANSWER,))
    await tab.page.goto(f"{service.url('replica-b')}/demo")
    own = await tab.page.evaluate(_CERTIFICATE)
    handle = await minted(service, {**own["bind"], "origin": service.url("replica-a")})
    demo = Demo(tab.page, service)
    assert (await call(demo, service, handle))["code"] == "wrong_origin"
    there = await minted(service, own["bind"])
    assert await call(demo, service, there) == "connected"
    await tab.page.evaluate("window.call.close()")


async def test_the_demo_page_binds_and_says_so_and_another_browser_gets_plain_words(
    open_demo: OpenDemo, service: Service, playwright: Playwright
) -> None:
    demo, tab = await open_demo(permissions=["clipboard-read", "clipboard-write", "microphone"])
    await demo.call()
    assert (await demo.fact("Bound to")).startswith("this page, certificate ")
    await tab.picture("bound-handle")
    await demo.page.get_by_role("button", name="Copy", exact=True).click()
    handle = await demo.page.evaluate("navigator.clipboard.readText()")
    await demo.end()

    other_browser = await launch(playwright)
    try:
        thief, _ = await open_demo(within=other_browser, expected=(FAILED_ANSWER,))
        await thief.page.get_by_text("More options").click()
        await thief.page.get_by_label("Existing handle").fill(handle)
        await thief.start_button.click()
        said = await thief.problem_text()
        assert "This handle belongs to another page or browser" in said
        assert "wrong_certificate" in said
        await thief.way_back("Call with a new handle")
        await thief.in_call()
        await thief.end()
    finally:
        await other_browser.close()


async def test_the_demo_page_can_leave_it(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    await demo.page.get_by_text("More options").click()
    box = demo.page.get_by_label("Bind the handle to this page and its certificate")
    await expect(box).to_be_checked()
    await box.uncheck()
    await demo.call()
    assert await demo.fact("Bound to") == "nothing"
    await demo.end()
