"""Watches: the events of all replicas, and the expiries of the handles seen so far, as one stream."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.cli.failure import CliFailure
from app.cli.handles.expiries import EXPIRY, ExpiryBook
from app.cli.pages import steps
from app.store.events import Event
from app.store.views import HandleFilter, HandleView, Page

if TYPE_CHECKING:
    from app.cli.operator.base import Operator

# Handles listed at the beginning, and minted ones that wait to be looked up; beyond that expiries go untold.
_LISTED: Final = 2000
_WAITING: Final = 2000
TICK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown; None shows all. An event that tells no such field is left out."""

    client: str | None = None
    model: str | None = None
    deployment: str | None = None
    failures: bool = False

    def shows(self, event: Event) -> bool:
        """Whether this one is meant; what was dropped concerns everybody."""
        if event.name == "dropped":
            return True
        named = (("client", self.client), ("model", self.model), ("deployment", self.deployment))
        if any(value is not None and event.fields.get(name) != value for name, value in named):
            return False
        return not self.failures or failed(event)


def failed(event: Event) -> bool:
    """Whether a request ended in an error."""
    status = event.fields.get("status")
    return isinstance(status, int) and status >= 400


class Watching:
    """One watch. Iterate ``batches``; each comes at once, and an empty one at least every half second."""

    def __init__(self, operator: Operator, wanted: Wanted) -> None:
        self._operator = operator
        self._wanted = wanted
        self.book = ExpiryBook()
        self._minted: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    async def batches(self) -> AsyncGenerator[Sequence[Event], None]:
        """The events that are wanted.

        Raises:
            CliFailure: the other side cannot be watched.
        """
        news: asyncio.Queue[Sequence[Event]] = asyncio.Queue(1000)
        reader = asyncio.create_task(self._read(news), name="event-reader")
        learner = asyncio.create_task(self._learn(), name="expiry-learner")
        try:
            while not reader.done() or not news.empty():
                events: list[Event] = []
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        events += [self.book.with_names(event) for event in await news.get()]
                for event in events:
                    self._note(event)
                events += self.book.due(now=time.monotonic(), wall=time.time())
                yield [event for event in events if self._wanted.shows(event)]
            reader.result()
        finally:
            for task in (reader, learner):
                task.cancel()
            await asyncio.gather(reader, learner, return_exceptions=True)

    async def _read(self, news: asyncio.Queue[Sequence[Event]]) -> None:
        listed = False
        async for events in self._operator.events():
            if not listed:
                # Only now, so that what is minted meanwhile is told by an event.
                listed = True
                await self._list()
            await news.put(events)

    async def _list(self) -> None:
        wanted = HandleFilter(
            client=self._wanted.client, model=self._wanted.model, deployment=self._wanted.deployment
        )

        async def fetch(cursor: str | None, most: int) -> Page[HandleView]:
            return await self._operator.handles(wanted, cursor=cursor, limit=most)

        async for step in steps(fetch, most=_LISTED):
            now = time.monotonic()
            for view in step.items:
                self.book.add(view, now=now)
            if step.found >= _LISTED and step.more:
                self.book.untold += 1

    def _note(self, event: Event) -> None:
        handle: Any = event.fields.get("handle")
        if event.name != "mint" or failed(event) or not isinstance(handle, str):
            return
        try:
            self._minted.put_nowait(handle)
        except asyncio.QueueFull:
            self.book.untold += 1

    async def _learn(self) -> None:
        """Look up how long what was minted will live, one after the other."""
        while True:
            handle_id = await self._minted.get()
            if handle_id in self.book:
                continue
            try:
                story = await self._operator.handle(handle_id)
            except CliFailure:
                self.book.untold += 1
            else:
                if story is not None:
                    self.book.add(story.handle, now=time.monotonic())


__all__ = ["EXPIRY", "TICK_SECONDS", "Wanted", "Watching", "failed"]
