"""The demo page signs its user in at an identity provider and mints with his token, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenDemo
from tests.browser.demo import Demo
from tests.browser.service import Service
from tests.browser.tab import FAILED_ANSWER

pytestmark = pytest.mark.asyncio(loop_scope="session")

_STORED = "() => [...Object.entries(localStorage), ...Object.entries(sessionStorage), document.cookie]"


async def sign_in(page: Page, user: str) -> None:
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name=user).click()
    await page.get_by_text(f"Signed in as {user}.").wait_for()


async def test_a_user_signs_in_calls_and_signs_out_and_his_token_is_kept_nowhere(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()
    await sign_in(demo.page, "demo-pro")
    await demo.page.get_by_text("Ready. Start a call").wait_for()
    assert demo.page.url == f"{service.url('replica-a')}/demo"
    assert await demo.page.evaluate(_STORED) == [""]
    # The address with the key in it was left behind, so it is the token that mints.
    assert await demo.page.get_by_label("Client key").input_value() == ""
    await expect(demo.page.get_by_label("Client key")).to_be_disabled()
    await demo.call()
    minted = [line for line in service.mints("replica-a") if line.get("issuer") == "team"]
    assert [(line["status"], line["client"]) for line in minted] == [(200, "shop")]
    await demo.end()
    await demo.page.get_by_role("button", name="Sign out").click()
    await demo.start_button.click()
    assert "A client key is needed" in await demo.problem_text()


async def test_a_sign_in_that_another_began_is_not_finished(open_demo: OpenDemo, service: Service) -> None:
    """An address with a code that this page did not ask for, as an attacker would send it."""
    demo, _tab = await open_demo(expected=(FAILED_ANSWER,))
    await demo.page.goto(f"{service.url('replica-a')}/demo?code=stolen&state=guessed")
    assert "The sign-in failed" in await demo.problem_text()
    assert "code=" not in demo.page.url


async def test_where_the_service_takes_no_sign_in_the_page_offers_none(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()
    await Demo(demo.page, service).open("strict")
    await expect(demo.page.get_by_role("button", name="Sign in")).to_be_hidden()
