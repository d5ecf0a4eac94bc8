"""A call on the demo page, from the press of the button to its end."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenDemo
from tests.browser.service import Service
from tests.support.clocks import kept_deadline

pytestmark = pytest.mark.asyncio(loop_scope="session")

_STEPS = ("Microphone", "Mint", "Offer", "Relay", "Connected", "First audio")
_TIME = re.compile(r"^\d+(\.\d+)? m?s$")


async def test_a_call_is_minted_on_a_and_relayed_on_b_and_heard(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, tab = await open_demo()
    # From the press of the button to something that can be heard.
    with kept_deadline(5):
        await demo.call()
        await demo.hears("The assistant's level")
    await expect(demo.page.locator("#total")).to_contain_text("First audio after")
    await demo.hears("Your level")
    assert (await tab.hears())["bytes"] > 0

    assert await demo.fact("Minted by") == "replica-a"
    assert await demo.fact("Relayed by") == "replica-b"
    call_id = await demo.fact("Call ID")
    calls = service.sandbox.control("GET", "calls")["calls"]
    assert calls[-1]["call_id"] == call_id
    assert calls[-1]["connection_state"] == "connected"
    for step in _STEPS:
        row = demo.page.get_by_role("listitem").filter(has=demo.page.get_by_text(step, exact=True))
        await expect(row).to_have_attribute("data-state", "done")
        await expect(row.locator(".step-time")).to_have_text(_TIME)
    await tab.picture("call")

    await demo.end()
    assert await demo.start_button.is_enabled()


async def test_the_page_tells_that_the_sound_goes_past_the_service(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()
    await demo.call()

    await expect(demo.page.locator("#path")).to_contain_text("direct to")
    path = await demo.fact("Audio path")

    assert "(UDP)" in path
    for name in ("replica-a", "replica-b"):
        assert service.url(name).rpartition(":")[2] not in path
    await demo.end()


async def test_events_are_shown_filtered_and_copied(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo(permissions=["clipboard-read", "clipboard-write", "microphone"])
    await demo.call()
    created = demo.event("session.created")
    await created.get_by_text("session.created", exact=True).click()
    assert json.loads(await created.locator("pre").inner_text())["session"]["model"] == "gpt-realtime-2.1"

    await demo.page.get_by_label("Text to send").fill("Is anybody there?")
    await demo.page.get_by_role("button", name="Send").click()
    await expect(demo.page.get_by_text("You said: Is anybody there?")).to_be_visible()
    await expect(demo.event("response.done").last).to_be_visible()

    await demo.page.get_by_label("Filter events").fill("ANYBODY")
    await expect(demo.event("session.created")).to_be_hidden()
    await expect(demo.event("conversation.item.create")).to_be_visible()
    await demo.page.get_by_role("button", name="Copy JSON").click()
    await expect(demo.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(await demo.page.evaluate("navigator.clipboard.readText()"))
    assert {"in", "out"} == {entry["direction"] for entry in copied}
    assert all("anybody" in json.dumps(entry).lower() for entry in copied)
    await demo.end()


async def test_the_log_is_bounded(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    await demo.call()

    # Events that the provider refuses: each is one line out of the log's bound, and one answer.
    await demo.page.evaluate(
        """() => {
          const channel = window.channels.at(-1);
          for (let sent = 0; sent < 520; sent++) channel.send(JSON.stringify({ type: "no.such.event" }));
        }"""
    )

    await expect(demo.page.get_by_text("older ones removed")).to_be_visible()
    assert await demo.page.locator("#events > li").count() == 500
    await expect(demo.problem).to_contain_text("The provider refused an event")
    await demo.way_back("Dismiss")
    await demo.end()


def _seconds_left(text: str) -> int:
    minutes, seconds = re.fullmatch(r"(\d+):(\d\d) left", text).groups()  # type: ignore[union-attr]
    return int(minutes) * 60 + int(seconds)


async def test_the_life_of_the_handle_counts_down(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    await demo.page.get_by_text("More options").click()
    await demo.page.get_by_label("Handle lifetime in seconds").fill("600")
    await demo.call()
    life = demo.page.get_by_role("timer")
    first = await life.inner_text()
    await expect(life).not_to_have_text(first)
    assert 600 >= _seconds_left(first) > _seconds_left(await life.inner_text()) > 0
    await demo.end()


async def test_the_key_leaves_the_address_bar_and_is_kept_nowhere(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()

    assert demo.page.url == f"{service.url('replica-a')}/demo"
    kept = await demo.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert kept == '[{},{},""]'
    assert await demo.page.get_by_label("Client key").input_value() == service.planted.client_key


async def test_mute_sends_silence(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    await demo.call()
    await demo.hears("Your level")

    await demo.page.get_by_role("button", name="Mute").click()

    await expect(demo.page.get_by_role("button", name="Unmute")).to_be_visible()
    levels = demo.page.get_by_role("meter", name="Your level")
    await expect(levels).to_have_attribute("aria-valuenow", "0")
    # The microphone beeps once a second: not to hear it for longer is silence, not a pause.
    for _ in range(12):
        await demo.page.wait_for_timeout(100)
        assert await levels.get_attribute("aria-valuenow") == "0"
    await demo.end()


async def test_the_page_counts_a_limited_call_down_and_tells_its_usage_and_who_ended_it(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, tab = await open_demo()
    await demo.page.get_by_text("More options").click()
    await demo.page.get_by_label("Longest call in seconds").fill("10")
    await demo.call()
    await expect(demo.page.locator("#call-limit")).to_have_text(re.compile(r"^hung up in 0:\d\d$"))
    await expect(demo.page.locator("#usage")).to_have_text(
        re.compile(r"^\d+ tokens in.*, \d+ out, \d answers?$")
    )
    await tab.picture("limited")
    # No other end: the service hangs up, at whichever replica.
    await expect(demo.page.locator("#ended")).to_have_text(
        "by Cloakroom: the limit of 10 s was reached", timeout=60_000
    )
    assert service.sandbox.control("GET", "calls")["calls"][-1]["end_reason"] == "hangup"
    await expect(demo.page.locator("#call-limit")).to_have_text("10 s")
