"""What the demo page says when something fails, and its way back without reloading."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from playwright.async_api import Playwright, expect

from tests.browser.chromium import launch
from tests.browser.conftest import OpenDemo, OpenTab
from tests.browser.demo import Demo
from tests.browser.lost import LostCall
from tests.browser.service import SPARE, Service
from tests.browser.tab import FAILED_ANSWER, REFUSED_BY_CORS
from tests.support.hidden import HIDDEN

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_permission_for_the_microphone_goes_on_with_a_test_tone(
    open_demo: OpenDemo, playwright: Playwright
) -> None:
    strict_browser = await launch(playwright, microphone=False)
    try:
        demo, tab = await open_demo(within=strict_browser)
        await demo.start_button.click()

        said = await demo.problem_text()
        assert "Microphone access was denied" in said
        assert "microphone_denied" in said
        await tab.picture("microphone-denied")
        await demo.way_back("Use a test tone")
        await demo.in_call()
        await demo.hears("The assistant's level")
        await demo.end()
        await expect(demo.problem).to_be_hidden()
    finally:
        await strict_browser.close()


async def test_a_question_for_the_microphone_that_nobody_answers_can_be_given_up(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    # Chromium without a window cannot leave its question open, so the browser's side of it is played here.
    await demo.page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = () => new Promise(() => {});
        }"""
    )
    await demo.start_button.click()
    await demo.page.get_by_text("Waiting for microphone access").wait_for()
    await demo.page.get_by_role("button", name="Cancel").click()
    await demo.page.get_by_text("Call cancelled.").wait_for()

    await demo.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    await demo.call()
    await demo.end()


async def test_a_page_without_its_settings_asks_for_them_again(open_tab: OpenTab, service: Service) -> None:
    tab = await open_tab(expected=(FAILED_ANSWER,))
    await tab.page.route("**/demo/config.json", lambda route: route.abort())
    demo = Demo(tab.page, service)
    await tab.page.goto(service.page("replica-a"))
    assert "could not load its settings" in await demo.problem_text()

    await tab.page.unroute("**/demo/config.json")
    await demo.way_back("Try again")
    await tab.page.get_by_text("Ready. Start a call").wait_for()
    await demo.call()
    await demo.end()


async def test_a_replica_that_refuses_the_origin(open_demo: OpenDemo) -> None:
    demo, tab = await open_demo(expected=(FAILED_ANSWER, REFUSED_BY_CORS))
    await demo.page.get_by_label("Relay on").select_option(label="strict")
    await demo.start_button.click()

    said = await demo.problem_text()
    assert "This replica does not allow this page" in said
    assert "origin_not_allowed" in said
    assert "CLOAKROOM_CORS_ORIGINS" in said
    await tab.picture("origin-refused")
    await demo.way_back("Choose another replica")
    await expect(demo.page.get_by_label("Relay on")).to_be_focused()
    await demo.page.get_by_label("Relay on").select_option(label="replica-b")
    await demo.call()
    await demo.end()


async def test_a_replica_that_is_down_and_comes_back(open_demo: OpenDemo, service: Service) -> None:
    demo, tab = await open_demo(expected=(FAILED_ANSWER,), color_scheme="dark")
    await asyncio.to_thread(service.stop, "replica-b")
    try:
        await demo.start_button.click()
        said = await demo.problem_text()
        assert "This replica does not respond" in said
        assert "replica_unreachable" in said
        assert "replica-b" in said
        await tab.picture("replica-down")
    finally:
        await asyncio.to_thread(service.start, "replica-b")

    await demo.way_back("Try again")
    await demo.in_call()
    assert await demo.fact("Relayed by") == "replica-b"
    await demo.end()


@pytest.mark.parametrize(
    ("kind", "title", "code"),
    [
        ("status", "The provider failed", "upstream_error"),
        ("drop_after", "The connection to the provider dropped", "outcome_unknown"),
    ],
)
async def test_a_provider_that_fails_at_the_offer(
    open_demo: OpenDemo, service: Service, kind: str, title: str, code: str
) -> None:
    demo, tab = await open_demo(expected=(FAILED_ANSWER,))
    service.sandbox.control("POST", "faults", {"kind": kind, "path": "calls"})
    try:
        await demo.start_button.click()
        said = await demo.problem_text()
    finally:
        service.sandbox.control("DELETE", "faults")
    assert title in said
    assert code in said
    assert "request id req_" in said
    await tab.picture(f"provider-{code}")

    await demo.way_back("Try again")
    await demo.in_call()
    await expect(demo.problem).to_be_hidden()
    await demo.end()


async def test_a_provider_that_refuses_to_mint_is_told_by_its_own_code(
    open_demo: OpenDemo, service: Service
) -> None:
    """One code that the page knows, and one that nobody could have told it of."""
    demo, _tab = await open_demo(expected=(FAILED_ANSWER,))
    for status, code, title in (
        (429, "insufficient_quota", "The provider's account has no credit left"),
        (400, "no_such_voice", "The provider refused the request"),
    ):
        body = json.dumps({"error": {"message": "Not like this.", "code": code}})
        fault = {"kind": "status", "path": "client_secrets", "status": status, "times": 0, "body": body}
        service.sandbox.control("POST", "faults", fault)
        try:
            await demo.start_button.click()
            await expect(demo.problem).to_contain_text(title)
        finally:
            service.sandbox.control("DELETE", "faults")
        said = await demo.problem_text()
        assert code in said
        assert "Not like this." in said
        assert f"HTTP {status}" in said


async def test_a_wrong_client_key_leads_to_its_field(open_demo: OpenDemo, service: Service) -> None:
    demo, _tab = await open_demo(expected=(FAILED_ANSWER,))
    key = demo.page.get_by_label("Client key")
    await key.fill("sk-a-key-of-the-provider-itself")
    await demo.start_button.click()

    said = await demo.problem_text()
    assert "This client key is not known" in said
    assert "invalid_api_key" in said
    await demo.way_back("Change the client key")
    await expect(key).to_be_focused()
    await key.fill(service.planted.client_key)
    await demo.call()
    await demo.end()


async def test_a_provider_that_hangs_up(open_demo: OpenDemo, service: Service) -> None:
    demo, tab = await open_demo()
    await demo.call()
    call_id = await demo.fact("Call ID")

    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {service.planted.openai_key}"}
        url = f"{service.sandbox.url}/v1/realtime/calls/{call_id}/hangup"
        async with http.post(url, headers=headers) as answer:
            assert answer.status == 200

    said = await demo.problem_text()
    assert "The provider ended the call" in said
    assert "call_ended" in said
    await tab.picture("hung-up")
    await demo.way_back("Try again")
    await demo.in_call()
    assert await demo.fact("Call ID") != call_id
    await demo.end()


async def test_a_handle_that_has_expired(open_demo: OpenDemo, service: Service) -> None:
    demo, tab = await open_demo(expected=(FAILED_ANSWER,))
    await demo.page.get_by_text("More options").click()
    await demo.page.get_by_label("Existing handle").fill(await service.expired_handle())
    await demo.start_button.click()

    said = await demo.problem_text()
    assert "This handle has expired" in said
    assert "handle_expired" in said
    await expect(demo.page.get_by_role("timer")).to_contain_text("expired")
    await tab.picture("handle-expired")
    await demo.way_back("Call with a new handle")
    await demo.in_call()
    await demo.end()


async def test_a_connection_that_is_lost(lost_call: LostCall, service: Service) -> None:
    said = await lost_call.said()
    assert "The connection was lost" in said
    assert "connection_lost" in said

    await asyncio.to_thread(service.start_provider, SPARE)
    await lost_call.demo.way_back("Try again")
    await lost_call.demo.in_call()
    await lost_call.demo.end()


async def test_what_does_not_show_is_escaped_as_the_service_does_it(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    shown = await demo.page.evaluate(
        """async (texts) => {
          const script = document.querySelector('script[type="module"]').src;
          const { legible } = await import(new URL("dom.js", script));
          return texts.map(legible);
        }""",
        [*HIDDEN.values(), "müller 日本 🎙"],
    )
    expected = [json.dumps(character)[1:-1] for character in HIDDEN.values()]
    named = {r"\t": r"\u0009", r"\r": r"\u000d", r"\b": r"\u0008", r"\n": "\n", "\x7f": r"\u007f"}
    assert shown == [*(named.get(text, text) for text in expected), "müller 日本 🎙"]
