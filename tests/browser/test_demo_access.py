"""The demo page for people who use a keyboard, a screen reader, a small screen or a dark room."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.async_api import expect

from tests.browser.accessibility import FAINT_TEXT, UNNAMED_CONTROLS
from tests.browser.conftest import OpenDemo
from tests.browser.demo import Demo
from tests.browser.service import Service
from tests.browser.tab import FAILED_ANSWER, REFUSED_BY_CORS

pytestmark = pytest.mark.asyncio(loop_scope="session")

_MOST_TABS = 30
_WISHES: tuple[Literal["no-preference", "reduce"], ...] = ("no-preference", "reduce")
_OUTLINE = """() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return [outlineStyle, parseFloat(outlineWidth)];
}"""


async def _tab_to(demo: Demo, element: str) -> None:
    """Press Tab until the element of this id has the focus, and see that the focus can be seen."""
    for _ in range(_MOST_TABS):
        await demo.page.keyboard.press("Tab")
        if await demo.page.evaluate("document.activeElement.id") == element:
            style, width = await demo.page.evaluate(_OUTLINE)
            assert style == "solid", f"the focus on #{element} cannot be seen"
            assert width >= 2, f"the focus on #{element} is hard to see"
            return
    raise AssertionError(f"#{element} is not reached by {_MOST_TABS} presses of Tab")


async def test_a_call_with_the_keyboard_alone(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    await _tab_to(demo, "key")
    # Enter in a field starts the call, as in any form, and the focus moves on to the button.
    await demo.page.keyboard.press("Enter")
    await demo.in_call()
    assert await demo.page.evaluate("document.activeElement.id") == "call"

    await _tab_to(demo, "say")
    await demo.page.keyboard.type("Hello there.")
    await demo.page.keyboard.press("Enter")
    await expect(demo.page.get_by_text("You said: Hello there.")).to_be_visible()

    await demo.page.keyboard.press("Shift+Tab")
    for _ in range(_MOST_TABS):
        if await demo.page.evaluate("document.activeElement.id") == "call":
            break
        await demo.page.keyboard.press("Shift+Tab")
    await demo.page.keyboard.press("Enter")
    await demo.page.get_by_text("Call ended after").wait_for()


async def test_everything_has_a_name_and_can_be_read_in_light_and_dark(open_demo: OpenDemo) -> None:
    demo, tab = await open_demo(expected=(FAILED_ANSWER, REFUSED_BY_CORS))
    await demo.page.get_by_text("More options").click()

    async def look(state: str) -> None:
        unnamed: Any = await demo.page.evaluate(UNNAMED_CONTROLS)
        assert unnamed == [], f"without a name, {state}: {unnamed}"
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            await demo.page.emulate_media(color_scheme=scheme)
            faint: Any = await demo.page.evaluate(FAINT_TEXT)
            assert faint == [], f"too faint to read, {state}, {scheme}: {faint}"

    await look("idle")
    await demo.call()
    await demo.hears("The assistant's level")
    await expect(demo.event("response.done")).to_be_visible()
    await look("in a call")
    await tab.picture("call-dark")
    await demo.end()
    await demo.page.get_by_label("Relay on").select_option(label="strict")
    await demo.start_button.click()
    await demo.problem.wait_for()
    await look("with a problem")


async def test_what_happens_is_announced(open_demo: OpenDemo) -> None:
    demo, _tab = await open_demo()
    tree = await demo.page.locator("body").aria_snapshot()
    for line in (
        'heading "Cloakroom" [level=1]',
        'textbox "Client key"',
        'combobox "Model"',
        'combobox "Mint on"',
        'combobox "Relay on"',
        'combobox "Your audio"',
        'button "Start call"',
        'meter "Your level"',
        'meter "The assistant\'s level"',
        'heading "Steps" [level=2]',
        'log "Transcript"',
        'list "Events"',
    ):
        assert line in tree, f"no {line} in what a screen reader finds:\n{tree}"
    assert await demo.page.locator("#status").get_attribute("aria-live") == "polite"
    assert await demo.page.locator("#notice-words").get_attribute("role") == "alert"
    assert await demo.page.locator("html").get_attribute("lang") == "en"


async def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_demo: OpenDemo) -> None:
    phone = {"width": 360, "height": 740}
    demo, tab = await open_demo(viewport=phone, has_touch=True, expected=(FAILED_ANSWER, REFUSED_BY_CORS))

    async def width() -> int:
        return int(await demo.page.evaluate("document.documentElement.scrollWidth"))

    assert await width() <= 360
    box = await demo.start_button.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= phone["height"], "the button is below the fold"
    await demo.call()
    await expect(demo.event("response.done")).to_be_visible()
    assert await width() <= 360
    await tab.picture("phone-call")
    await demo.end()
    await demo.page.get_by_label("Relay on").select_option(label="strict")
    await demo.start_button.click()
    await demo.problem.wait_for()
    assert await width() <= 360
    await expect(demo.problem.get_by_role("button").first).to_be_in_viewport()


async def test_nothing_moves_where_less_motion_is_asked_for(open_demo: OpenDemo, service: Service) -> None:
    demo, _tab = await open_demo()
    # A slow mint holds the page in the state in which things move.
    service.sandbox.control("POST", "faults", {"kind": "delay", "path": "client_secrets", "seconds": 1})
    await demo.start_button.click()
    await demo.page.get_by_text("Minting on replica-a").wait_for()

    counts = []
    for wish in _WISHES:
        await demo.page.emulate_media(reduced_motion=wish)
        counts.append(int(await demo.page.evaluate("document.getAnimations().length")))

    assert counts[0] > 0
    assert counts[1] == 0
    await demo.in_call()
    await demo.hears("The assistant's level")
    await demo.end()
