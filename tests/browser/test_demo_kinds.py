"""The demo page with the models that it calls in another way: GPT-Live, and Azure Voice Live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.demo import Demo
from tests.browser.tab import Tab
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.providers import PLACES, settings_for
from tests.support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIVE: Final = "openai-live"
VOICE_LIVE: Final = "azure-voice-live"
USUAL: Final = "openai-without-keys"
_SHOWN: Final = tuple(place for place in PLACES if place.name in (LIVE, VOICE_LIVE, USUAL))


class Deployments:
    """Two replicas in front of a provider of each kind."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def page(self, replica: str) -> str:
        return f"{self.stack.a.url}/demo#key={self.stack.planted.client_key}"

    def last_call(self) -> dict[str, Any]:
        return dict(self.stack.sandbox.control("GET", "calls")["calls"][-1])


@pytest.fixture(scope="module")
def deployments() -> Iterator[Deployments]:
    planted = Planted()
    settings: Any = {
        "CLOAKROOM_DEMO": "true",
        "CLOAKROOM_CORS_ORIGINS": "*",
        **settings_for(planted, _SHOWN),
    }
    with Stack(peer="webrtc", planted=planted, **settings) as running:
        yield Deployments(running)


async def opened(open_tab: OpenTab, deployments: Deployments, model: str) -> tuple[Demo, Tab]:
    tab = await open_tab()
    demo = Demo(tab.page, deployments)
    await demo.open()
    await demo.choose(model)
    return demo, tab


async def channel_of(tab: Tab) -> str:
    """The label of the data channel that the page made last."""
    return str(await tab.page.evaluate("window.channels.at(-1).label"))


async def test_a_gpt_live_session_is_heard_muted_and_left(
    open_tab: OpenTab, deployments: Deployments
) -> None:
    demo, tab = await opened(open_tab, deployments, LIVE)
    page = tab.page
    await expect(page.get_by_text("GPT-Live: it listens and speaks at the same time")).to_be_visible()
    await page.get_by_text("More options").click()
    await expect(page.get_by_label("The assistant speaks first")).to_be_hidden()

    # It says something only when it was spoken to, and the browser's false microphone is too short for that.
    await page.get_by_label("Your audio").select_option("tone")

    await demo.call(LIVE)
    assert await channel_of(tab) == "oai-events"
    await demo.hears("The assistant's level")
    await tab.hears()
    lines = page.get_by_role("log", name="Transcript").get_by_role("listitem")
    spoken = re.compile(r"I heard \d+\.\d seconds of speech\.")
    await expect(lines.filter(has_text=spoken).first).to_be_visible()
    await expect(page.locator("#usage")).to_have_text(re.compile(r"^\d+ s of a session$"))
    # It takes no text, and says so.
    await expect(page.get_by_label("Text to send")).to_be_disabled()
    assert (
        await page.get_by_label("Text to send").get_attribute("placeholder") == "This session takes no text"
    )
    await tab.picture("demo-live")

    for press, answer in (("Mute", "session.input_audio.muted"), ("Unmute", "session.input_audio.unmuted")):
        await page.get_by_role("button", name=press, exact=True).click()
        await expect(demo.event(answer)).to_be_visible()

    await demo.end()
    await expect(demo.event("session.close")).to_be_visible()
    await expect(demo.event("session.closed")).to_be_visible()
    assert await demo.fact("Ended") == "by this page"
    await expect(demo.problem).to_be_hidden()
    assert deployments.last_call()["call_id"] == await demo.fact("Call ID")
    await eventually(lambda: deployments.last_call()["end_reason"] == "close_requested")
    sent = page.locator('#events > li[data-kind="out"] .event-type')
    assert set(await sent.all_inner_texts()) == {
        "session.input_audio.mute",
        "session.input_audio.unmute",
        "session.close",
    }


async def test_a_gpt_live_session_that_the_service_ends_says_so(
    open_tab: OpenTab, deployments: Deployments
) -> None:
    demo, tab = await opened(open_tab, deployments, LIVE)
    await demo.call(LIVE)
    call_id = await demo.fact("Call ID")
    headers = {"Authorization": f"Bearer {deployments.stack.planted.client_key}"}
    url = f"{deployments.stack.b.url}/v1/realtime/calls/{call_id}/hangup"
    assert (await tab.page.request.post(url, headers=headers)).status == 200
    assert "ended" in await demo.problem_text()
    assert await demo.fact("Ended") == "ended by the provider, or by a hang-up"


async def test_azure_voice_live_converses_over_its_own_data_channel(
    open_tab: OpenTab, deployments: Deployments
) -> None:
    demo, tab = await opened(open_tab, deployments, VOICE_LIVE)
    await expect(tab.page.locator("#channel")).to_have_text("voice-live-events")
    await demo.call(VOICE_LIVE)
    assert await channel_of(tab) == "voice-live-events"
    await expect(demo.event("session.created")).to_be_visible()
    await demo.hears("The assistant's level")

    await tab.page.get_by_label("Text to send").fill("Is anybody there?")
    await tab.page.get_by_role("button", name="Send").click()
    await expect(tab.page.get_by_text("You said: Is anybody there?")).to_be_visible()
    await tab.picture("demo-voice-live")
    assert deployments.last_call()["call_id"] == await demo.fact("Call ID")
    await demo.end()
    await eventually(lambda: deployments.last_call()["ended_at"] is not None)


async def test_the_form_follows_the_model(open_tab: OpenTab, deployments: Deployments) -> None:
    demo, tab = await opened(open_tab, deployments, LIVE)
    await tab.page.get_by_text("More options").click()
    greets, hint = tab.page.get_by_label("The assistant speaks first"), tab.page.locator("#model-hint")
    for model, channel, is_live in (
        (USUAL, "oai-events", False),
        (LIVE, "oai-events", True),
        (VOICE_LIVE, "voice-live-events", False),
    ):
        await demo.choose(model)
        await expect(tab.page.locator("#channel")).to_have_text(channel)
        await expect(hint).to_be_visible(visible=is_live)
        await expect(greets).to_be_visible(visible=not is_live)
    # A call of the usual kind is as ever, after the others were chosen.
    await demo.choose(USUAL)
    await demo.call(USUAL)
    await demo.hears("The assistant's level")
    await demo.end()
