"""The demo page as its user sees it: what is on it, and how to work it."""

from __future__ import annotations

from typing import Any, Protocol

from playwright.async_api import Locator, Page


class HasPages(Protocol):
    """Where the page is served."""

    def page(self, replica: str) -> str:
        """The page's address at this replica, with the client's key in the fragment."""


class Demo:
    """The page, by the names that a person or a screen reader finds on it."""

    def __init__(self, page: Page, service: HasPages) -> None:
        self.page = page
        self._service = service

    async def open(self, at: str = "replica-a") -> None:
        """Open it by the address with the key in its fragment, and wait until it is ready."""
        await self.page.goto(self._service.page(at))
        await self.page.get_by_text("Ready. Start a call").wait_for()

    async def choose(self, model: str) -> None:
        """Choose the model to call."""
        await self.page.locator("#model").select_option(model)

    @property
    def start_button(self) -> Locator:
        return self.page.get_by_role("button", name="Start call")

    @property
    def end_button(self) -> Locator:
        return self.page.get_by_role("button", name="End call")

    @property
    def problem(self) -> Locator:
        return self.page.get_by_role("region", name="Problem")

    async def call(self, model: str = "gpt-realtime-2.1") -> None:
        """Press the button and wait until the call stands."""
        await self.start_button.click()
        await self.in_call(model)

    async def in_call(self, model: str = "gpt-realtime-2.1") -> None:
        await self.page.get_by_text(f"Connected to {model}").wait_for()

    async def end(self) -> None:
        """Press the button again."""
        await self.end_button.click()
        await self.page.get_by_text("Call ended after").wait_for()

    async def problem_text(self) -> str:
        """What the problem panel says, once it is there."""
        await self.problem.wait_for()
        return await self.problem.inner_text()

    async def way_back(self, name: str) -> None:
        """Press one of the buttons that the problem panel offers."""
        await self.problem.get_by_role("button", name=name).click()

    def event(self, kind: str) -> Locator:
        """The rows of the event log with this type."""
        rows = self.page.get_by_role("list", name="Events").get_by_role("listitem")
        return rows.filter(has=self.page.get_by_text(kind, exact=True))

    async def hears(self, meter: str, percent: int = 30) -> None:
        """Wait until the level meter of this name has moved above ``percent``."""
        await self.page.wait_for_function(
            """([name, least]) => {
              const meter = document.querySelector(`[role=meter][aria-label="${name}"]`);
              return Number(meter.getAttribute("aria-valuenow")) > least;
            }""",
            arg=[meter, percent],
        )

    async def fact(self, term: str) -> str:
        """What stands beside this term on the handle's ticket."""
        pair: Any = self.page.locator("dl > div").filter(has=self.page.get_by_text(term, exact=True))
        return str(await pair.locator("dd").inner_text())
