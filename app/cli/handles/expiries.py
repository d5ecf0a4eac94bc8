"""Tells when handles expire that a watcher has seen; no replica does anything then, so none tells. Pure."""

from __future__ import annotations

import heapq
from typing import Final

from app.store.events import Event
from app.store.views import HandleView

EXPIRY: Final = "expiry"
# Handles that are kept in mind; what comes on top is not told, and counted.
_MOST: Final = 20_000


class ExpiryBook:
    """The handles that are still alive, by the time of their end."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, str]] = []
        self._views: dict[str, HandleView] = {}
        self.untold = 0

    def __contains__(self, handle_id: str) -> bool:
        return handle_id in self._views

    def add(self, view: HandleView, *, now: float) -> None:
        """Keep a handle in mind. ``now`` is seconds on the clock that ``due`` is asked with."""
        if view.id in self._views:
            return
        if len(self._views) >= _MOST:
            self.untold += 1
            return
        self._views[view.id] = view
        heapq.heappush(self._ends, (now + view.life, view.id))

    def with_names(self, event: Event) -> Event:
        """The event with client, model and deployment of its handle, where it does not tell them itself.

        A relay that was refused read no record, so its log line has none of them.
        """
        view = self._views.get(str(event.fields.get("handle")))
        if view is None:
            return event
        known = {"client": view.client, "model": view.model, "deployment": view.deployment}
        missing = {name: value for name, value in known.items() if event.fields.get(name) is None}
        return Event(event.name, {**event.fields, **missing}) if missing else event

    def due(self, *, now: float, wall: float) -> list[Event]:
        """The events of those that have expired by ``now``; ``wall`` is the same in epoch seconds."""
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
