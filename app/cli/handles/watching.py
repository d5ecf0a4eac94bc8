"""The events of all replicas, and the expiries of the handles seen so far, as one stream."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.cli.failure import CliFailure
from app.cli.listing import steps
from app.cli.reach.base import Operator
from app.reports import FAILURES
from app.store.events import Event
from app.store.listing.views import HandleFilter, HandleView

EXPIRY: Final = "expiry"
TICK_SECONDS: Final = 0.5
# Handles listed at the beginning, and minted ones that wait to be looked up; expiries beyond are not told.
_LISTED: Final = 2000
_WAITING: Final = 2000
# Handles that are remembered; those beyond are counted, and their expiries not told.
_REMEMBERED: Final = 20_000


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Wanted:
    """The options that choose events. An event without a field that was asked for is left out."""

    client: Annotated[str | None, Parameter(help="Only what concerns this client.")] = None
    model: Annotated[str | None, Parameter(help="Only what concerns this model.")] = None
    deployment: Annotated[str | None, Parameter(help="Only what concerns this deployment.")] = None
    failures: Annotated[bool, Parameter(negative=(), help="Only what failed.")] = False

    def shows(self, event: Event) -> bool:
        """Whether this event is wanted; a ``dropped`` event always is."""
        if event.name == "dropped":
            return True
        named = (("client", self.client), ("model", self.model), ("deployment", self.deployment))
        if any(value is not None and event.fields.get(name) != value for name, value in named):
            return False
        return not self.failures or failed(event)


def failed(event: Event) -> bool:
    """Whether a request ended in an error, or a page reported that its call failed."""
    status = event.fields.get("status")
    refused = isinstance(status, int) and status >= 400
    return refused or (event.name == "report" and event.fields.get("outcome") in FAILURES)


class ExpiryBook:
    """The handles that are alive, by the time of their end.

    No replica does anything when a handle expires, so the watcher tells it. Pure.
    """

    def __init__(self) -> None:
        self._ends: list[tuple[float, str]] = []
        self._views: dict[str, HandleView] = {}
        self.untold = 0

    def __contains__(self, handle_id: str) -> bool:
        return handle_id in self._views

    def add(self, view: HandleView, *, now: float) -> None:
        """Remember a handle. ``now`` is seconds on the clock that ``due`` takes."""
        if view.id in self._views:
            return
        if len(self._views) >= _REMEMBERED:
            self.untold += 1
            return
        self._views[view.id] = view
        heapq.heappush(self._ends, (now + view.life, view.id))

    def with_names(self, event: Event) -> Event:
        """The event, completed with the client, model and deployment of its handle.

        A refused relay read no record, so its own event has none of them.
        """
        view = self._views.get(str(event.fields.get("handle")))
        if view is None:
            return event
        known = {"client": view.client, "model": view.model, "deployment": view.deployment}
        missing = {name: value for name, value in known.items() if event.fields.get(name) is None}
        return Event(event.name, {**event.fields, **missing}) if missing else event

    def due(self, *, now: float, wall: float) -> list[Event]:
        """The events of those that expired by ``now``; ``wall`` is the same time in epoch seconds."""
        events = []
        while self._ends and self._ends[0][0] <= now:
            end, handle_id = heapq.heappop(self._ends)
            view = self._views.pop(handle_id)
            fields = {
                "at": round(wall - (now - end), 3),
                "handle": view.id,
                "client": view.client,
                "model": view.model,
                "deployment": view.deployment,
            }
            events.append(Event(EXPIRY, fields))
        return events


class Watching:
    """One watch. ``batches`` yields events at once, and an empty batch at least every half second."""

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
                # Only now, so that an event tells of each handle that is minted meanwhile.
                listed = True
                await self._list()
            await news.put(events)

    async def _list(self) -> None:
        wanted = HandleFilter(
            client=self._wanted.client, model=self._wanted.model, deployment=self._wanted.deployment
        )
        async for step in steps(partial(self._operator.handles, wanted), most=_LISTED):
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
        """Look up how long each minted handle will live, one after the other."""
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
