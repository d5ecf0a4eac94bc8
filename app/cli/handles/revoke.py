"""``cloakroom handles revoke``: stop one handle, or all of a client, subject or model, at every replica."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.cli.arguments import UnverifiedHandle, checked_names, read_unverified
from app.cli.display import progress
from app.cli.failure import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, CliFailure
from app.cli.listing import walk
from app.cli.output import confirm, document, tell, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.store.listing.views import HandleFilter, HandleView

# Up to this many are looked at one by one before the question; beyond it the index's figure must do.
_LOOKED_AT: Final = 20_000


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Choice:
    """The options that choose handles by what they have in common."""

    client: Annotated[str | None, Parameter(help="All of this client.")] = None
    subject: Annotated[str | None, Parameter(help="All of this subject.")] = None
    model: Annotated[
        str | None, Parameter(help="All of this model. Of several such options all must match.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Care:
    """The options that say how carefully it is done."""

    yes: Annotated[
        bool,
        Parameter(
            name=["--yes", "-y"],
            negative=(),
            help="Do not ask; needed without a terminal to ask at.",
        ),
    ] = False
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say how many there are.")] = False


_NONE: Final = Choice()
_USUAL: Final = Care()


def revoke_handles(
    *handles: str,
    choice: Choice = _NONE,
    care: Care = _USUAL,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """Revoke handles: from then on every replica refuses to relay with them. Calls that run go on.

    Asks before it touches more than one. Exit status 1 when a named handle is gone, when nothing matches, or
    when a newer release wrote one of them: only that release can revoke it.

    Args:
        handles: Ids, handles, or pasted Authorization headers.
        as_document: Print one JSON document.
        quiet: Print only how many were revoked.
    """
    scope = scope_of(handles, choice)
    dry_run = care.dry_run
    many = len(scope.named) > 1 or scope.wanted is not None
    tally = Tally()

    async def look(operator: Operator) -> None:
        await estimate(operator, scope, tally, exactly=dry_run, quiet=quiet)

    async def act(operator: Operator) -> None:
        if scope.wanted is not None:
            await revoke_matching(operator, scope.wanted, tally, quiet=quiet)
        else:
            await revoke_named(operator, scope.named, tally)

    if dry_run or (many and not care.yes):
        operate(target, look)
        if not dry_run and tally.expected > 1:
            confirm(f"Revoke {'up to ' if tally.rough else ''}{tally.expected:,} handles at every replica?")
    if not dry_run:
        operate(target, act)
    if as_document:
        write(document(tally.as_json(dry_run=dry_run)))
    elif quiet:
        write(f"{tally.expected if dry_run else tally.revoked}\n")
    else:
        write(f"{tally.in_words(dry_run=dry_run)}\n")
    if tally.gone:
        tell(f"gone (expired, or never existed): {' '.join(tally.gone)}")
    if tally.newer:
        tell(
            f"a newer release wrote {_handles(tally.newer)}, which cannot be revoked from here: use the "
            "'cloakroom' of that release, or a replica of it with --url."
        )
    return EXIT_FAILED if tally.gone or tally.newer or not tally.known else EXIT_DONE


@dataclass(frozen=True, slots=True)
class Scope:
    """Which handles are meant: those that are named, or all that match ``wanted``; never both."""

    named: tuple[UnverifiedHandle, ...] = ()
    wanted: HandleFilter | None = None


def scope_of(pasted: Sequence[str], choice: Choice) -> Scope:
    """What the arguments mean. A handle that is named twice counts once.

    Raises:
        CliFailure: nothing is named, both ways are mixed, or an argument is not a handle.
    """
    wanted = HandleFilter(**checked_names(choice))
    given = wanted != HandleFilter()
    if pasted and given:
        raise CliFailure(
            "name handles, or give --client, --subject or --model; not both.", status=EXIT_REFUSED
        )
    if given:
        return Scope(wanted=wanted)
    if not pasted:
        raise CliFailure(
            "say which: a handle, --client, --subject or --model. 'cloakroom handles list' shows them.",
            status=EXIT_REFUSED,
        )
    found = {one.id: one for one in map(read_unverified, pasted)}
    return Scope(named=tuple(found.values()))


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
        return f"{done} {_handles(count)}" + (
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
            tally.newer += step.newer
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


def _handles(count: int) -> str:
    return f"{count:,} handle{'' if count == 1 else 's'}"
