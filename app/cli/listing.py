"""A listing of handles or calls: fetched page by page, printed as a table, ids or JSON."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.display import Column, Columns, print_lines, progress, terminal_width
from app.cli.output import document, json_line, tell, write
from app.store.listing.views import Page

AT_ONCE: Final = 500

T = TypeVar("T")
# Takes ``cursor`` and ``limit``, how many are still wanted.
Fetch = Callable[..., Awaitable[Page[T]]]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Amount:
    """The options that say how much of a listing is shown."""

    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000), help="At most this many.")] = 50
    all_pages: Annotated[
        bool,
        Parameter(
            name="--all",
            negative=(),
            help="Show all, page by page; with --json one object on each line.",
        ),
    ] = False


USUAL: Final = Amount()


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How one kind of thing is listed. ``row`` takes a thing and the time in epoch seconds.

    ``latest`` gives what it is sorted by, the largest first; None: as it is fetched, the newest first.
    ``none`` is said of an empty listing.
    """

    noun: str
    columns: Sequence[Column]
    row: Callable[[T, float], Sequence[str]]
    as_json: Callable[[T], dict[str, Any]]
    id_of: Callable[[T], str]
    latest: Callable[[T], float] | None = None
    none: str = ""


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What one page added. ``found`` and ``examined`` are sums; ``more`` says whether others may follow."""

    items: Sequence[T]
    found: int
    examined: int
    more: bool


async def steps(fetch: Fetch[T], *, most: int | None) -> AsyncIterator[Step[T]]:
    """Fetch pages until ``most`` items are there (None: all of them) or no more follow."""
    cursor: str | None = None
    found = examined = 0
    while True:
        wanted = AT_ONCE if most is None else min(most - found, AT_ONCE)
        page = await fetch(cursor=cursor, limit=wanted)
        found, examined, cursor = found + len(page.items), examined + page.examined, page.next_cursor
        yield Step(page.items, found, examined, cursor is not None)
        if cursor is None or (most is not None and found >= most):
            return


async def walk(fetch: Fetch[T], *, quiet: bool, most: int | None = None) -> AsyncGenerator[Step[T], None]:
    """As ``steps``, and show on the terminal how far it is."""
    with progress(shown=not quiet) as said:
        async for step in steps(fetch, most=most):
            said(f"looked at {step.examined:,}, found {step.found:,}")
            yield step


async def print_listing(
    shape: Shape[T], fetch: Fetch[T], amount: Amount, *, as_document: bool, quiet: bool
) -> None:
    """Print as much as was asked for, and say on standard error how much that was."""
    table, now = Columns(shape.columns, width=terminal_width()), time.time()

    def show(items: Sequence[T]) -> bool:
        if as_document:
            return write("".join(json_line(shape.as_json(item)) for item in items))
        if quiet:
            return write("".join(f"{shape.id_of(item)}\n" for item in items))
        return print_lines(table.lines([shape.row(item, now) for item in items]))

    # What is sorted must be there as a whole before the first one is known.
    at_the_end = shape.latest is not None or not amount.all_pages
    most = None if amount.all_pages or shape.latest is not None else amount.limit
    held: list[T] = []
    found, more = 0, False
    async with aclosing(walk(fetch, quiet=quiet, most=most)) as walked:
        async for step in walked:
            found, more = step.found, step.more
            if at_the_end:
                held += step.items
            elif step.items and not show(step.items):
                return
    if shape.latest is not None:
        held.sort(key=shape.latest, reverse=True)
        held = held if amount.all_pages else held[: amount.limit]
        found, more = len(held), found > len(held)
    if as_document and not amount.all_pages:
        data = [shape.as_json(item) for item in held]
        write(document({"object": "list", "data": data, "has_more": more}))
    elif held:
        show(held)
    if not quiet and not as_document:
        tell(_footer(shape, found, more=more))


def _footer(shape: Shape[T], found: int, *, more: bool) -> str:
    noun = shape.noun
    if not found and not more:
        return shape.none or f"no {noun}s"
    shown = f"{found:,} {noun}{'' if found == 1 else 's'}"
    return f"{shown} shown, the newest; more with --limit or --all" if more else shown
