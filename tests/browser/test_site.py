"""The site of ``make docs``, in Chromium: no other address is asked, diagrams are drawn, phones fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page

from tests.browser.conftest import OpenTab
from tests.support.clocks import eventually
from tests.support.missing import missing
from tests.support.npm import npm_is_there
from tests.support.page import ROOT

SITE: Final = ROOT / "build" / "site"
PHONE: Final[dict[str, int]] = {"width": 390, "height": 844}
# The text of a diagram, wherever it is drawn; the theme draws into a closed shadow root.
_DRAWN: Final = (
    "[...document.querySelectorAll('.mermaid')].map((each) => each.getBoundingClientRect().height)"
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site() -> AsyncIterator[str]:
    """Its address. It is built as it is now, which takes seconds once its tools are there."""
    if not npm_is_there():
        missing("npm is not installed; 'make system' installs it on Debian")
    make = await asyncio.create_subprocess_exec("make", "docs", cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await make.communicate()
    assert make.returncode == 0, told.decode()
    app = web.Application()
    app.router.add_static("/", SITE)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def asked_of(page: Page) -> list[str]:
    """The hosts that the page asks from now on."""
    hosts: list[str] = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).netloc))
    return hosts


@pytest.mark.parametrize(("name", "diagrams"), [("index", 1), ("architecture", 1), ("quickstart-azure", 0)])
async def test_a_page_asks_its_own_server_alone_and_draws_its_diagrams(
    name: str, diagrams: int, open_tab: OpenTab, site: str
) -> None:
    tab = await open_tab()
    hosts = asked_of(tab.page)
    await tab.page.goto(f"{site}/{name}.html", wait_until="networkidle")
    if diagrams:
        # The source of a diagram is a block of text; its picture is a division.
        await tab.page.wait_for_selector("div.mermaid")
        heights: Any = await tab.page.evaluate(_DRAWN)
        assert len(heights) == diagrams
        assert min(heights) > 200
    assert {host for host in hosts if host} == {urlsplit(site).netloc}


async def test_search_finds_a_page(open_tab: OpenTab, site: str) -> None:
    tab = await open_tab()
    hosts = asked_of(tab.page)
    await tab.page.goto(f"{site}/index.html")
    await tab.page.keyboard.press("Control+k")
    await tab.page.keyboard.type("sideband")

    async def arrived() -> bool:
        # The theme shows its findings in a closed shadow root; Enter opens the first, once it is there.
        await tab.page.keyboard.press("Enter")
        return "/sideband.html" in tab.page.url

    await eventually(arrived, "search found nothing")
    assert {host for host in hosts if host} == {urlsplit(site).netloc}


@pytest.mark.parametrize("name", ["index", "clients", "configuration", "metrics"])
async def test_a_phone_never_scrolls_a_page_sideways(name: str, open_tab: OpenTab, site: str) -> None:
    tab = await open_tab(viewport=PHONE)
    await tab.page.goto(f"{site}/{name}.html", wait_until="networkidle")
    width: Any = await tab.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]


async def test_a_file_of_the_repository_that_a_page_links_to_is_there(open_tab: OpenTab, site: str) -> None:
    tab = await open_tab()
    await tab.page.goto(f"{site}/clients.html")
    link = await tab.page.locator("a[href$='cloakroom.js']").first.get_attribute("href")
    assert link is not None
    answer = await tab.page.request.get(f"{site}/{link}")
    assert answer.status == 200
    assert "export async function connect" in await answer.text()
