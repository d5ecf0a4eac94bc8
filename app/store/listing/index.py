"""Walks through the index lists: latest minute first, in bounded steps, with a cursor that stays valid.

An id stands in one list for each thing that it can be found by; the minute is in the list's name. A list
only grows at its end and ends as a whole. So a position, ``<minute>-<how many entries are left below>``,
stays true between two pages. An id may stand twice, since a write whose reply was lost is repeated.
``indexing`` writes an id into its lists.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from app.errors import InvalidRequest
from app.store.connection import StoreConnection
from app.store.listing.views import Page
from app.store.scripts import INDEX, ScriptCall

# How many records one page reads at most, however few of them match.
EXAMINED_AT_MOST: Final = 2000
_BLOCK: Final = 250
_CURSOR = re.compile(r"([0-9]{1,12})-([0-9]{1,12})\Z")
# Lengths are asked for so many minutes at once: the longest life of a handle in one round trip.
_MINUTES_AT_ONCE: Final = 144
# A list outlives the last record that it names a little, for replicas whose clocks differ.
_MARGIN_MS: Final = 120_000

Item = TypeVar("Item")


def indexing(connection: StoreConnection, lists: Sequence[str], entry: str, life_ms: int) -> list[ScriptCall]:
    """The scripts that put an id at the end of lists. ``life_ms`` is that of its record."""
    args = (entry, life_ms + _MARGIN_MS)
    return [(INDEX, names, args) for names in connection.by_slot(lists)]


@dataclass(frozen=True, slots=True)
class Position:
    """Everything in later minutes, and in this one beyond the first ``left`` entries, has been read."""

    minute: int
    left: int | None = None

    def __str__(self) -> str:
        return f"{self.minute}-{self.left}"


@dataclass(frozen=True, slots=True)
class Entry:
    """An id of the index, and the position right after it."""

    id: str
    after: Position


@dataclass(frozen=True, slots=True)
class Walk:
    """The lists of some minutes. Its methods raise ``StoreUnavailable`` when the store does not answer.

    Args:
        name_of: the key of a minute's list.
        newest, oldest: the first and the last minute of the walk, both included.
    """

    connection: StoreConnection
    name_of: Callable[[int], str]
    newest: int
    oldest: int

    def start(self, cursor: str | None) -> Position:
        """Where the walk begins, or goes on.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        if cursor is None:
            return Position(self.newest)
        found = _CURSOR.match(cursor)
        if found is None:
            raise InvalidRequest("'cursor' must be the 'next_cursor' of an earlier page.", param="cursor")
        return Position(min(int(found[1]), self.newest), int(found[2]))

    async def entries(self, start: Position, count: int) -> list[Entry]:
        """Up to ``count`` entries from ``start`` on; fewer only at the end of the walk."""
        if start.left is not None and start.left >= count:
            return await self._tail(start.minute, end=start.left, count=count)
        entries: list[Entry] = []
        for minutes in self._steps(start.minute):
            for minute, length in zip(minutes, await self._lengths(minutes), strict=True):
                first = start.left is not None and minute == start.minute
                end = min(start.left or 0, length) if first else length
                wanted = count - len(entries)
                if end and wanted:
                    entries += await self._tail(minute, end=end, count=wanted)
            if len(entries) == count:
                break
        return entries

    async def count(self) -> int:
        """How many ids the lists name."""
        return sum([sum(await self._lengths(minutes)) for minutes in self._steps(self.newest)])

    async def page(
        self,
        records_of: Callable[[Sequence[str]], Awaitable[Sequence[Item | None]]],
        *,
        matches: Callable[[Item], bool],
        cursor: str | None,
        limit: int,
    ) -> Page[Item]:
        """Walk until ``limit`` records match, ``EXAMINED_AT_MOST`` were read, or there are no more.

        Args:
            records_of: reads the records of ids, None for one that is gone.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        position, found, examined = self.start(cursor), dict[str, Item](), 0
        while examined < EXAMINED_AT_MOST:
            entries = await self.entries(position, _BLOCK)
            records = await records_of([entry.id for entry in entries])
            for entry, record in zip(entries, records, strict=True):
                examined, position = examined + 1, entry.after
                if record is not None and matches(record):
                    found[entry.id] = record
                    if len(found) == limit:
                        return Page(tuple(found.values()), str(position), examined)
            if len(entries) < _BLOCK:
                return Page(tuple(found.values()), None, examined)
        return Page(tuple(found.values()), str(position), examined)

    def _steps(self, minute: int) -> Iterator[range]:
        """The minutes from this one down to the oldest, as many at once as one round trip asks for."""
        while minute >= self.oldest:
            yield range(minute, max(minute - _MINUTES_AT_ONCE, self.oldest - 1), -1)
            minute -= _MINUTES_AT_ONCE

    async def _lengths(self, minutes: range) -> list[int]:
        commands = [("LLEN", self.name_of(minute)) for minute in minutes]
        return await self.connection.run_together(*commands)

    async def _tail(self, minute: int, *, end: int, count: int) -> list[Entry]:
        """The last ``count`` of a list's first ``end`` entries, the last of them first."""
        first = max(end - count, 0)
        (ids,) = await self.connection.run_together(("LRANGE", self.name_of(minute), first, end - 1))
        return [Entry(found, Position(minute, first + place)) for place, found in reversed([*enumerate(ids)])]
