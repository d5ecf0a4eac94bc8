"""Walking the index lists: latest minute first, in bounded steps, with a cursor that new entries leave true.

An id stands in one list for each thing that it can be found by, the minute in the list's name. Lists only
grow at their end and go away as a whole, so a position, ``<minute>-<how many entries are left below>``, stays
true between two pages. An id may stand twice, since a write whose reply was lost is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from app.errors import InvalidRequest
from app.store.connection import StoreConnection
from app.store.views import Page

# Records that one page looks at most, however few of them match.
EXAMINED_AT_MOST: Final = 2000
_BLOCK: Final = 250
_CURSOR = re.compile(r"([0-9]{1,12})-([0-9]{1,12})\Z")
# Lengths are asked for so many minutes at once: all that a handle's life can span, in one round trip.
_MINUTES_AT_ONCE: Final = 144

NameOfList = Callable[[int], str]
Item = TypeVar("Item")


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
class Span:
    """The minutes that a walk goes through, both included."""

    newest: int
    oldest: int

    def start(self, cursor: str | None) -> Position:
        """Where the walk goes on.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        if cursor is None:
            return Position(self.newest)
        found = _CURSOR.match(cursor)
        if found is None:
            raise InvalidRequest("'cursor' must be the 'next_cursor' of an earlier page.", param="cursor")
        minute, left = int(found[1]), int(found[2])
        return Position(min(minute, self.newest), left)


async def read_entries(
    connection: StoreConnection, name_of: NameOfList, span: Span, start: Position, count: int
) -> list[Entry]:
    """Up to ``count`` entries from ``start`` on; fewer only at the end of the walk.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    minute, left = start.minute, start.left
    if left is not None and left >= count:
        return await _tail(connection, name_of, minute, end=left, count=count)
    entries: list[Entry] = []
    while minute >= span.oldest and len(entries) < count:
        minutes = range(minute, max(minute - _MINUTES_AT_ONCE, span.oldest - 1), -1)
        lengths = await connection.run_together(*[("LLEN", name_of(each)) for each in minutes])
        for each, length in zip(minutes, lengths, strict=True):
            end = length if left is None or each != start.minute else min(left, length)
            wanted = count - len(entries)
            if end and wanted:
                entries += await _tail(connection, name_of, each, end=end, count=wanted)
        minute = minutes[-1] - 1
    return entries


async def read_page(
    entries_from: Callable[[Position, int], Awaitable[list[Entry]]],
    records_of: Callable[[Sequence[str]], Awaitable[Sequence[Item | None]]],
    *,
    matches: Callable[[Item], bool],
    start: Position,
    limit: int,
) -> Page[Item]:
    """Walk until ``limit`` records match, ``EXAMINED_AT_MOST`` were looked at, or there are no more.

    Args:
        entries_from: reads so many entries from a position on; fewer at the end.
        records_of: reads the records of ids, None for one that is gone.
    """
    position, found, examined = start, dict[str, Item](), 0
    while examined < EXAMINED_AT_MOST:
        entries = await entries_from(position, _BLOCK)
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


async def count_entries(connection: StoreConnection, name_of: NameOfList, span: Span) -> int:
    """How many ids the lists of these minutes name, in one round trip for each two hours or so."""
    total, minute = 0, span.newest
    while minute >= span.oldest:
        minutes = range(minute, max(minute - _MINUTES_AT_ONCE, span.oldest - 1), -1)
        total += sum(await connection.run_together(*[("LLEN", name_of(each)) for each in minutes]))
        minute = minutes[-1] - 1
    return total


async def _tail(
    connection: StoreConnection, name_of: NameOfList, minute: int, *, end: int, count: int
) -> list[Entry]:
    """The last ``count`` of a list's first ``end`` entries, the last of them first."""
    first = max(end - count, 0)
    (ids,) = await connection.run_together(("LRANGE", name_of(minute), first, end - 1))
    return [Entry(found, Position(minute, first + place)) for place, found in reversed([*enumerate(ids)])]
