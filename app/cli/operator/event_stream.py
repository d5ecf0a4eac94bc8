"""Reads the admin API's Server-Sent Events (HTML standard, section 9.2), line by line. Pure."""

from __future__ import annotations

from typing import Final

import orjson

from app.store.events import Event

# A stream says something every 15 s; one that is silent for longer is lost.
SILENCE_SECONDS: Final = 40.0
AGAIN_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 5.0
# Answers for which a watch that was there once is tried again: too many watchers, draining, a balancer's own.
BUSY: Final = frozenset({429, 500, 502, 503, 504})
# What stands for the time without a stream.
GAP: Final = Event("dropped", {"count": None, "replica": None, "at": None})


class EventReader:
    """Gathers the lines of one event after the other."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, line: bytes) -> Event | None:
        """Take one line; the event, where this one ends it.

        Raises:
            TypeError, ValueError: its data is no JSON object.
        """
        line = line.rstrip(b"\r\n")
        if not line:
            name, data = self._name, b"\n".join(self._data)
            self._name, self._data = "", []
            if not name or not data:
                return None
            fields = orjson.loads(data)
            if not isinstance(fields, dict):
                raise TypeError("the data of an event is a JSON object")
            return Event(name, fields)
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.strip().decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
