"""The steps of a revocation, and how far it has got, also when it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.cli.failure import CliFailure
from app.cli.handles.scope import Scope
from app.cli.output import tell
from app.cli.pages import steps
from app.cli.pasted import UnverifiedHandle
from app.cli.progress import progress
from app.store.views import HandleFilter, HandleView, Page

if TYPE_CHECKING:
    from app.cli.operator.base import Operator

# Up to so many are looked at one by one before anybody is asked; beyond it the index's figure must do.
_LOOKED_AT: Final = 20_000


@dataclass(slots=True)
class Tally:
    """What is expected, and what was done. ``rough``: the expectation is an upper bound."""

    expected: int = 0
    rough: bool = False
    revoked: int = 0
    already: int = 0
    gone: list[str] = field(default_factory=list)
    looked: bool = False

    @property
    def nothing_to_do(self) -> bool:
        return self.looked and self.expected == 0

    @property
    def known(self) -> int:
        """How many handles there were, revoked now, before, or not yet."""
        return max(self.revoked + self.already, self.expected)

    def as_json(self, *, dry_run: bool) -> dict[str, Any]:
        """The document: what would be revoked with ``dry_run``, else what was."""
        revoked = {"would_revoke": self.expected} if dry_run else {"revoked": self.revoked}
        return {
            "object": "handles.revocation",
            "dry_run": dry_run,
            **revoked,
            "already_revoked": self.already,
            "gone": self.gone,
        }

    def in_words(self, *, dry_run: bool) -> str:
        """One sentence."""
        done, count = ("would revoke", self.expected) if dry_run else ("revoked", self.revoked)
        return f"{done} {_handles(count)}" + (
            f"; {self.already:,} had been revoked before" if self.already else ""
        )


async def estimate(operator: Operator, scope: Scope, tally: Tally, *, exactly: bool, quiet: bool) -> None:
    """Find out how many handles there are to revoke; nothing is changed."""
    tally.looked = True
    if scope.wanted is None:
        for named in scope.named:
            story = await operator.handle(named.id)
            if story is None:
                tally.gone.append(named.id)
            else:
                _expect(tally, story.handle)
        if not exactly:
            # They are found once more, and counted, when it is done.
            tally.gone, tally.already = [], 0
        return
    wanted = scope.wanted
    bound = await operator.count(wanted)
    if bound > _LOOKED_AT and not exactly and wanted.subject is None:
        tally.expected, tally.rough = bound, True
        return

    async def fetch(cursor: str | None, most: int) -> Page[HandleView]:
        return await operator.handles(wanted, cursor=cursor, limit=most)

    with progress(shown=not quiet) as said:
        async for step in steps(fetch, most=None):
            for view in step.items:
                _expect(tally, view)
            said(f"looked at {step.examined:,}, found {step.found:,}")
    if not exactly:
        tally.already = 0


async def revoke_named(operator: Operator, named: Sequence[UnverifiedHandle], tally: Tally) -> None:
    """Revoke these, one by one."""
    with _told_how_far(tally):
        for handle in named:
            outcome = await operator.revoke(handle.id)
            if outcome == "gone":
                tally.gone.append(handle.id)
            elif outcome == "revoked":
                tally.revoked += 1
            else:
                tally.already += 1


async def revoke_matching(operator: Operator, wanted: HandleFilter, tally: Tally, *, quiet: bool) -> None:
    """Revoke all that match, step by step."""
    cursor: str | None = None
    with _told_how_far(tally), progress(shown=not quiet) as said:
        while True:
            step = await operator.revoke_step(wanted, cursor=cursor)
            tally.revoked += step.revoked
            tally.already += step.already
            said(f"revoked {tally.revoked:,}")
            cursor = step.next_cursor
            if cursor is None:
                return


@contextlib.contextmanager
def _told_how_far(tally: Tally) -> Iterator[None]:
    """What was revoked stays revoked: an interrupted or failed run says how much that is."""
    try:
        yield
    except (asyncio.CancelledError, CliFailure):
        tell(f"stopped early: {tally.in_words(dry_run=False)}. Run it again for the rest.")
        raise


def _expect(tally: Tally, view: HandleView) -> None:
    if view.revoked_at is None:
        tally.expected += 1
    else:
        tally.already += 1


def _handles(count: int) -> str:
    return f"{count:,} handle{'' if count == 1 else 's'}"
