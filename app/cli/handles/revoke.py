"""``cloakroom handles revoke``: stop one handle, or all of a client, subject or model, at every replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.arguments import checked_names, read_unverified
from app.cli.calls import hangup
from app.cli.calls.ending import Ending
from app.cli.failure import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, CliFailure
from app.cli.handles.revoking import (
    Scope,
    Tally,
    estimate,
    handle_count,
    revoke_matching,
    revoke_named,
    wait_for_calls,
)
from app.cli.output import confirm, document, tell, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.store.listing.views import HandleFilter


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
    calls: Annotated[
        bool, Parameter(negative=(), help="Hang up their calls as well, also those that are being relayed.")
    ] = False
    wait: Annotated[
        float,
        Parameter(
            validator=Number(gte=0, lte=3600),
            help="Seconds to wait for the end of the calls. The replicas go on in any case.",
        ),
    ] = 60.0


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
    """Revoke handles: from then on every replica refuses to relay with them. Calls go on without --calls.

    Asks before it touches more than one. Exit status 1 when a named handle is gone, when nothing matches,
    when a newer release wrote one of them (only it can revoke it), or when calls have not ended in time.

    Args:
        handles: Ids, handles, or pasted Authorization headers.
        as_document: Print one JSON document.
        quiet: Print only how many were revoked.
    """
    scope = scope_of(handles, choice)
    tally, ending = Tally(), Ending() if care.calls else None

    async def look(operator: Operator) -> None:
        await estimate(operator, scope, tally, exactly=care.dry_run, quiet=quiet)
        if ending is not None and care.dry_run:
            for wanted in scope.calls:
                await hangup.stop_matching(operator, wanted, ending, quiet=quiet, dry_run=True)

    async def act(operator: Operator) -> None:
        if scope.wanted is not None:
            await revoke_matching(operator, scope.wanted, tally, ending, quiet=quiet)
        else:
            await revoke_named(operator, scope.named, tally, ending)
        if ending is not None and care.wait:
            await wait_for_calls(operator, scope, ending, seconds=care.wait, quiet=quiet)

    many = len(scope.named) > 1 or scope.wanted is not None
    if care.dry_run or (many and not care.yes):
        operate(target, look)
    if not care.dry_run:
        _ask(scope, tally, care)
        operate(target, act)
    _report(tally, ending, care, as_document=as_document, quiet=quiet)
    if tally.gone or tally.newer or not (tally.known or (ending is not None and ending.found)):
        return EXIT_FAILED
    waited = care.wait > 0 and not care.dry_run
    return EXIT_DONE if ending is None else hangup.status_of(ending, waited=waited)


def _ask(scope: Scope, tally: Tally, care: Care) -> None:
    """Ask the person before more than one handle, or all calls of a client, is touched."""
    everything = scope.wanted is not None and care.calls
    if care.yes or not (everything or tally.expected > 1):
        return
    calls = " and hang up all calls that match" if everything else " and hang up their calls" * care.calls
    most = "up to " if tally.rough else ""
    confirm(f"Revoke {most}{handle_count(tally.expected)} at every replica{calls}?")


def _report(tally: Tally, ending: Ending | None, care: Care, *, as_document: bool, quiet: bool) -> None:
    dry_run, waited = care.dry_run, care.wait > 0 and not care.dry_run
    if as_document:
        calls = {} if ending is None else {"calls": ending.as_json()}
        write(document({**tally.as_json(dry_run=dry_run), **calls}))
    elif quiet:
        write(f"{tally.expected if dry_run else tally.revoked}\n")
    else:
        write(f"{tally.in_words(dry_run=dry_run)}\n")
        if ending is not None:
            write(f"{hangup.told(ending, dry_run=dry_run, waited=waited)}\n")
    if tally.gone:
        tell(f"gone (expired, or never existed): {' '.join(tally.gone)}")
    if tally.newer:
        tell(
            f"a newer release wrote {handle_count(tally.newer)}, which cannot be revoked from here: use the "
            "'cloakroom' of that release, or a replica of it with --url."
        )
    if ending is not None and waited:
        ending.tell_what_is_left()


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
