"""Walks the pages of a listing; each step at the other side is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from app.store.views import Page

AT_ONCE: Final = 500

T = TypeVar("T")
# Takes the cursor and how many are still wanted.
Fetch = Callable[[str | None, int], Awaitable[Page[T]]]


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What one page added; ``found`` and ``examined`` are sums, ``more`` whether there may be others."""

    items: Sequence[T]
    found: int
    examined: int
    more: bool


async def steps(fetch: Fetch[T], *, most: int | None) -> AsyncIterator[Step[T]]:
    """Fetch pages until ``most`` items are there, or there are no more; None: all of them."""
    cursor: str | None = None
    found = examined = 0
    while True:
        wanted = AT_ONCE if most is None else min(most - found, AT_ONCE)
        page = await fetch(cursor, wanted)
        found, examined, cursor = found + len(page.items), examined + page.examined, page.next_cursor
        yield Step(page.items, found, examined, cursor is not None)
        if cursor is None or (most is not None and found >= most):
            return
