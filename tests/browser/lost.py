"""A call whose provider is killed. A browser needs a while to be sure of that; other tests use the time."""

from __future__ import annotations

import asyncio

from tests.browser.demo import Demo
from tests.browser.service import SPARE, Service
from tests.browser.tab import Tab


class LostCall:
    """The call, and what its page came to say."""

    def __init__(self, tab: Tab, service: Service) -> None:
        self.demo = Demo(tab.page, service)
        self._tab = tab
        self._service = service
        self._end: asyncio.Task[str] | None = None

    async def begin(self) -> None:
        """Make a call through the replica with the spare provider, and kill that provider."""
        await self.demo.open(at="strict")
        await self.demo.call()
        assert await self.demo.fact("Relayed by") == "strict"
        # Or the page may tell of a call in which nothing was heard first.
        await self.demo.page.get_by_text("First audio after").wait_for()
        await asyncio.to_thread(self._service.kill_provider, SPARE)
        self._end = asyncio.ensure_future(self._watch())

    async def said(self) -> str:
        """What the page says in the end, after it has told of the trouble."""
        assert self._end is not None
        return await self._end

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        if self._end is not None:
            self._end.cancel()

    async def _watch(self) -> str:
        # Chromium calls a connection "disconnected" after some seven seconds of silence.
        await self.demo.page.get_by_text("Connection interrupted").wait_for()
        await self._tab.picture("breaking-up")
        return await self.demo.problem_text()
