"""The reference page in a browser: under its own policy, for every reader, on every screen."""

from __future__ import annotations

from typing import Literal

import pytest

from app.web.reference.document import load_document, operations
from tests.browser.accessibility import FAINT_TEXT, UNNAMED_CONTROLS
from tests.browser.conftest import OpenTab
from tests.browser.service import Service
from tests.browser.tab import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_WIDER_THAN_THE_SCREEN = """() => [...document.querySelectorAll("body *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .filter((element) => !element.closest("pre, .wide, .skip"))
  .map((element) => element.outerHTML.slice(0, 80))"""
_DEAD_LINKS = """() => [...document.querySelectorAll("a[href^='#']")]
  .map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id))"""


async def _open(open_tab: OpenTab, service: Service, width: int = 1280) -> Tab:
    tab = await open_tab(viewport={"width": width, "height": 900})
    answer = await tab.page.goto(f"{service.url('replica-a')}/docs")
    assert answer is not None
    assert answer.status == 200
    return tab


async def test_everything_has_a_name_and_can_be_read_in_light_and_dark(
    open_tab: OpenTab, service: Service
) -> None:
    tab = await _open(open_tab, service)
    # Folded parts have to be readable, too.
    await tab.page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert await tab.page.evaluate(UNNAMED_CONTROLS) == []
    assert await tab.page.evaluate(_DEAD_LINKS) == []
    for scheme in _SCHEMES:
        await tab.page.emulate_media(color_scheme=scheme)
        assert await tab.page.evaluate(FAINT_TEXT) == [], scheme
        await tab.picture(f"reference-{scheme}")


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_is_wider_than_the_screen(open_tab: OpenTab, service: Service, width: int) -> None:
    tab = await _open(open_tab, service, width)
    assert await tab.page.evaluate(_WIDER_THAN_THE_SCREEN) == []
    # Beside the text or folded up above it: one table of contents, never two, never none.
    assert await tab.page.get_by_role("navigation", name="Contents").count() == 1
    await tab.picture(f"reference-{width}")


async def test_the_contents_lead_to_every_operation_without_a_script(
    open_tab: OpenTab, service: Service
) -> None:
    tab = await open_tab(java_script_enabled=False)
    await tab.page.goto(f"{service.url('replica-a')}/docs")
    for _, _, operation in operations(load_document(None)):
        link = tab.page.get_by_role("navigation").get_by_role("link", name=operation["summary"], exact=True)
        await link.click()
        assert tab.page.url.endswith(f"#{operation['operationId']}")
        assert await tab.page.get_by_role("article", name=operation["summary"], exact=True).is_visible()
