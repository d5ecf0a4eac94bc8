"""Counts handles: at once from the index where that is as good, else by looking at each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.output import document, write
from app.cli.pages import steps
from app.cli.progress import progress
from app.store.views import HandleFilter, HandleView, Page

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


async def print_count(operator: Operator, wanted: HandleFilter, *, as_document: bool, quiet: bool) -> None:
    """Print one number, or ``{"object": "count", "handles", "exact"}``."""
    exact = not index_counts(wanted)
    number = await walked(operator, wanted, quiet=quiet) if exact else await operator.count(wanted)
    write(document({"object": "count", "handles": number, "exact": exact}) if as_document else f"{number}\n")


def index_counts(wanted: HandleFilter) -> bool:
    """Whether the index has a list of just these: of all, of one client, or of one model.

    Its figure is true to the minute: what expired within this one is still in it.
    """
    given = [wanted.client, wanted.subject, wanted.model, wanted.deployment, wanted.state]
    asked = sum(value is not None for value in given)
    return asked == 0 or (asked == 1 and (wanted.client is not None or wanted.model is not None))


async def walked(operator: Operator, wanted: HandleFilter, *, quiet: bool) -> int:
    """Look at every handle that may match, and count those that do."""

    async def fetch(cursor: str | None, most: int) -> Page[HandleView]:
        return await operator.handles(wanted, cursor=cursor, limit=most)

    found = 0
    with progress(shown=not quiet) as said:
        async for step in steps(fetch, most=None):
            found = step.found
            said(f"looked at {step.examined:,}, found {found:,}")
    return found
