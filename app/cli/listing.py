"""Prints a listing of handles or of calls: a table, ids, one JSON document, or JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.cli.columns import Column, Columns, print_lines, terminal_width
from app.cli.output import document, json_line, tell, write
from app.cli.pages import Fetch, steps
from app.cli.progress import progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How one kind of thing is listed. ``row`` takes a thing and the time, epoch seconds."""

    noun: str
    columns: Sequence[Column]
    row: Callable[[T, float], Sequence[str]]
    as_json: Callable[[T], dict[str, Any]]
    id_of: Callable[[T], str]


@dataclass(frozen=True, slots=True)
class Manner:
    """How much, and in which form. ``most`` None: all of them, page by page as they come."""

    most: int | None
    as_document: bool
    quiet: bool


async def print_listing(shape: Shape[T], fetch: Fetch[T], manner: Manner, *, now: float) -> None:
    """Print what is found as far as it is wanted, and say on standard error how much that was."""
    table = Columns(shape.columns, width=terminal_width())
    held: list[T] = []
    found, more = 0, False
    with progress(shown=not manner.quiet) as said:
        async for step in steps(fetch, most=manner.most):
            found, more = step.found, step.more
            said(f"looked at {step.examined:,}, found {found:,}")
            if manner.most is not None:
                held += step.items
            elif step.items and not _print(shape, step.items, manner, table, now):
                return
    if manner.most is not None:
        if manner.as_document:
            data = [shape.as_json(item) for item in held]
            write(document({"object": "list", "data": data, "has_more": more}))
        elif held:
            _print(shape, held, manner, table, now)
    if not manner.quiet and not manner.as_document:
        tell(_footer(shape.noun, found, more=more))


def _print(shape: Shape[T], items: Sequence[T], manner: Manner, table: Columns, now: float) -> bool:
    if manner.as_document:
        return write("".join(json_line(shape.as_json(item)) for item in items))
    if manner.quiet:
        return write("".join(f"{shape.id_of(item)}\n" for item in items))
    return print_lines(table.lines([shape.row(item, now) for item in items]))


def _footer(noun: str, found: int, *, more: bool) -> str:
    if not found and not more:
        return f"no {noun}s"
    shown = f"{found:,} {noun}{'' if found == 1 else 's'}"
    return f"{shown} shown, the newest; more with --limit or --all" if more else shown
