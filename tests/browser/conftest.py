"""A real service, a real browser and a page server on other origins: once for the folder, gone after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright, expect

from tests.browser.chromium import find_chromium, launch
from tests.browser.demo import Demo
from tests.browser.elsewhere import Elsewhere
from tests.browser.lost import LostCall
from tests.browser.service import Service
from tests.browser.tab import Tab
from tests.support.clocks import PATIENCE
from tests.support.missing import missing
from tests.support.npm import install, modules_of, npm_is_there

HERE: Final = Path(__file__).parent
OpenTab = Callable[..., Awaitable[Tab]]
OpenDemo = Callable[..., Awaitable[tuple[Demo, Tab]]]


def _needs(program: str, *, found: bool) -> None:
    if not found:
        missing(f"{program} is not installed; 'make system' installs it on Debian")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """Somebody else's pages."""
    async with Elsewhere(modules_of(HERE)) as server:
        yield server


@pytest.fixture(scope="package")
def sdk() -> None:
    """The npm packages, for the tests that need them."""
    _needs("npm", found=npm_is_there())
    install(HERE)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(elsewhere: Elsewhere) -> AsyncIterator[Service]:
    """The service; it lets the known origin in, and not the other."""
    with Service(origins=(elsewhere.known,)) as running:
        await running.begin_expiry()
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """Playwright's driver."""
    _needs("Chromium", found=find_chromium() is not None)
    expect.set_options(timeout=PATIENCE * 1000)
    async with async_playwright() as driver:
        yield driver


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """Chromium with a microphone that beeps, and leave to use it."""
    chromium = await launch(playwright)
    yield chromium
    await chromium.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session", autouse=True)
async def lost_call(browser: Browser, service: Service) -> AsyncIterator[LostCall]:
    """Begun before the first test, so that the others pass the time until the browser is sure."""
    context = await browser.new_context()
    tab = await Tab.open(context, ())
    lost = LostCall(tab, service)
    await lost.begin()
    yield lost
    lost.give_up()
    await context.close()
    tab.assert_quiet()


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Opens watched tabs, each in a context of its own; whatever went wrong in them fails the test."""
    tabs: list[Tab] = []
    async with AsyncExitStack() as contexts:

        async def open_one(expected: tuple[str, ...] = (), within: Browser = browser, **options: Any) -> Tab:
            context = await contexts.enter_async_context(await within.new_context(**options))
            tabs.append(await Tab.open(context, expected))
            return tabs[-1]

        yield open_one
    for tab in tabs:
        tab.assert_quiet()


@pytest_asyncio.fixture(loop_scope="session")
async def open_demo(open_tab: OpenTab, service: Service) -> OpenDemo:
    """Opens the demo page, ready for a call."""

    async def open_one(**options: Any) -> tuple[Demo, Tab]:
        tab = await open_tab(**options)
        demo = Demo(tab.page, service)
        await demo.open()
        return demo, tab

    return open_one
