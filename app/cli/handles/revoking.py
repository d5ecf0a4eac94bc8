"""Finds and revokes handles, named or by what they have in common, and counts what was done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from app.cli.arguments import UnverifiedHandle
from app.cli.calls.ending import Ending
from app.cli.calls.hangup import stop_matching
from app.cli.display import progress
from app.cli.failure import CliFailure
from app.cli.listing import walk
from app.cli.output import tell
from app.cli.reach.base import Operator
from app.store.listing.views import CallFilter, HandleFilter, HandleView

# Up to this many are looked at one by one before the question; beyond it the index's figure must do.
_LOOKED_AT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Which handles are meant: those that are named, or all that match ``wanted``; never both."""

    named: tuple[UnverifiedHandle, ...] = ()
    wanted: HandleFilter | None = None

    @property
    def calls(self) -> tuple[CallFilter, ...]:
        """Which calls are those of these handles, or match as well."""
        if self.wanted is None:
            return tuple(CallFilter(handle=handle.id) for handle in self.named)
        return (CallFilter(self.wanted.client, self.wanted.subject, self.wanted.model),)


@dataclass(slots=True)
class Tally:
    """What is expected, and what was done. ``rough`` says that the expectation is an upper bound.

    ``newer`` are the handles that a newer release wrote, which this one does not revoke.
    """

    expected: int = 0
    rough: bool = False
    revoked: int = 0
    already: int = 0
    newer: int = 0
    gone: list[str] = field(default_factory=list)

    @property
    def known(self) -> int:
        """How many handles there were, whether revoked now, before, or not yet."""
        return max(self.revoked + self.already, self.expected)

    def expect(self, view: HandleView) -> None:
        """Count one handle that was looked at."""
        if not view.known_version:
            self.newer += 1
        elif view.revoked_at is None:
            self.expected += 1
        else:
            self.already += 1

    def as_json(self, *, dry_run: bool) -> dict[str, Any]:
        """The document: what would be revoked with ``dry_run``, else what was."""
        revoked = {"would_revoke": self.expected} if dry_run else {"revoked": self.revoked}
        return {
            "object": "handles.revocation",
            "dry_run": dry_run,
            **revoked,
            "already_revoked": self.already,
            "newer_release": self.newer,
            "gone": self.gone,
        }

    def in_words(self, *, dry_run: bool) -> str:
        """One sentence."""
        done, count = ("would revoke", self.expected) if dry_run else ("revoked", self.revoked)
        return f"{done} {handle_count(count)}" + (
            f"; {self.already:,} had been revoked before" if self.already else ""
        )


async def estimate(operator: Operator, scope: Scope, tally: Tally, *, exactly: bool, quiet: bool) -> None:
    """Find out how many handles there are to revoke; change nothing."""
    wanted = scope.wanted
    if wanted is None:
        for named in scope.named:
            story = await operator.handle(named.id)
            if story is None:
                tally.gone.append(named.id)
            else:
                tally.expect(story.handle)
    else:
        bound = await operator.count(wanted)
        if bound > _LOOKED_AT and not exactly and wanted.subject is None:
            tally.expected, tally.rough = bound, True
            return
        async for step in walk(partial(operator.handles, wanted), quiet=quiet):
            for view in step.items:
                tally.expect(view)
    if not exactly:
        # The revocation finds these again, and counts them.
        tally.gone, tally.already, tally.newer = [], 0, 0


async def revoke_named(
    operator: Operator, named: Sequence[UnverifiedHandle], tally: Tally, ending: Ending | None = None
) -> None:
    """Revoke these, one by one; with ``ending`` have their calls hung up as well."""
    with _told_how_far(tally):
        for handle in named:
            done = await operator.revoke(handle.id, calls=ending is not None)
            if done.outcome == "gone":
                tally.gone.append(handle.id)
            elif done.outcome == "revoked":
                tally.revoked += 1
            else:
                tally.already += 1
            step = done.calls
            while ending is not None and step is not None:
                ending.add(step)
                cursor, step = step.next_cursor, None
                if cursor is not None:
                    step = await operator.stop_step(CallFilter(handle=handle.id), cursor=cursor)


async def revoke_matching(
    operator: Operator, wanted: HandleFilter, tally: Tally, ending: Ending | None = None, *, quiet: bool
) -> None:
    """Revoke all that match, step by step; with ``ending`` have the calls that match hung up as well."""
    cursor: str | None = None
    with _told_how_far(tally), progress(shown=not quiet) as said:
        while True:
            step = await operator.revoke_step(wanted, cursor=cursor, calls=ending is not None)
            tally.revoked += step.revoked
            tally.already += step.already
            tally.newer += step.newer
            if ending is not None and step.calls is not None:
                ending.add(step.calls)
            said(f"revoked {tally.revoked:,}")
            cursor = step.next_cursor
            if cursor is None:
                return


async def wait_for_calls(
    operator: Operator, scope: Scope, ending: Ending, *, seconds: float, quiet: bool
) -> None:
    """Wait until the calls have ended, and look for others once more.

    A relay that settled just before the revocation may have put its call on record just after the first look.
    """
    deadline = time.monotonic() + seconds
    await ending.wait(operator, seconds=seconds, quiet=quiet)
    if scope.wanted is None:
        return
    before = ending.found
    with ending.told_how_far():
        for wanted in scope.calls:
            await stop_matching(operator, wanted, ending, quiet=quiet)
    if ending.found > before:
        await ending.wait(operator, seconds=max(deadline - time.monotonic(), 0), quiet=quiet)


@contextlib.contextmanager
def _told_how_far(tally: Tally) -> Iterator[None]:
    """What was revoked stays revoked: an interrupted or failed run says how much that is."""
    try:
        yield
    except (asyncio.CancelledError, CliFailure):
        tell(f"stopped early: {tally.in_words(dry_run=False)}. Run it again for the rest.")
        raise


def handle_count(count: int) -> str:
    """``3 handles``."""
    return f"{count:,} handle{'' if count == 1 else 's'}"
