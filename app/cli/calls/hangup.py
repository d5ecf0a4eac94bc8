"""``cloakroom calls hangup``: end one call, or all of a client, subject, model, deployment or handle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.arguments import read_call_id
from app.cli.calls import records
from app.cli.calls.ending import Ending
from app.cli.display import progress
from app.cli.failure import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, CliFailure
from app.cli.output import confirm, document, tell, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.store.listing.views import CallFilter, Stopped

if TYPE_CHECKING:
    from app.broker.calls.hangup import Outcome

_OUTCOMES: Final[Mapping[Outcome | Literal["noted"], str]] = {
    "ended": "hung up",
    "gone": "was already over at the provider",
    "repeated": "had been hung up before",
    "noted": "is noted to be hung up",
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Choice:
    """The options that choose calls by what they have in common."""

    client: Annotated[str | None, Parameter(help="All of this client's handles.")] = None
    subject: Annotated[str | None, Parameter(help="All of this subject.")] = None
    model: Annotated[str | None, Parameter(help="All of this model.")] = None
    deployment: Annotated[str | None, Parameter(help="All at this deployment.")] = None
    handle: Annotated[
        str | None,
        Parameter(help="All of this handle. Of several such options all must match."),
    ] = None
    everything: Annotated[bool, Parameter(name="--all", negative=(), help="All open calls.")] = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Care:
    """The options that say how carefully it is done."""

    yes: Annotated[
        bool,
        Parameter(name=["--yes", "-y"], negative=(), help="Do not ask; needed without a terminal to ask at."),
    ] = False
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say how many there are.")] = False
    wait: Annotated[
        float,
        Parameter(
            validator=Number(gte=0, lte=3600),
            help="Seconds to wait for their end; 0: only note them. The replicas go on in any case.",
        ),
    ] = 60.0


_NONE: Final = Choice()
_USUAL: Final = Care()


def hang_up_calls(
    call: str | None = None,
    /,
    *,
    choice: Choice = _NONE,
    care: Care = _USUAL,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """End one call, or all that match, whichever replicas relayed them.

    Of many, it notes which calls are to end, in steps. All replicas then hang them up and repeat what fails,
    while the command waits and shows how far they are. Asks before it touches more than one. Exit status 1
    when the call is not on record, when nothing matches, or when some have not ended in time.

    Args:
        call: Its id, or the Location that the relay answered.
        as_document: Print one JSON document.
        quiet: Print only how many were hung up; of one call the outcome: ended, gone, repeated or noted.
    """
    wanted = _wanted(choice)
    if (call is None) == (wanted is None):
        raise CliFailure(
            "name one call, or give --client, --subject, --model, --deployment, --handle or --all. "
            "'cloakroom calls list' shows them.",
            status=EXIT_REFUSED,
        )
    if wanted is not None:
        return _hang_up_many(wanted, care, target, as_document=as_document, quiet=quiet)
    if care.dry_run:
        raise CliFailure("--dry-run counts calls that match; it takes no call.", status=EXIT_REFUSED)
    return _hang_up_one(read_call_id(call or ""), care, target, as_document=as_document, quiet=quiet)


def _wanted(choice: Choice) -> CallFilter | None:
    """Which calls are meant, None if the options name none.

    Raises:
        CliFailure: a name is none, or ``--all`` is not alone.
    """
    names = records.Choice(
        choice.client, choice.subject, choice.model, choice.deployment, handle=choice.handle
    )
    wanted = records.read_choice(names)
    if choice.everything and wanted != CallFilter():
        raise CliFailure("--all means all calls: give it alone.", status=EXIT_REFUSED)
    return wanted if choice.everything or wanted != CallFilter() else None


def _hang_up_one(call_id: str, care: Care, target: Target, *, as_document: bool, quiet: bool) -> int:
    ending = Ending()

    async def work(operator: Operator) -> Outcome | Literal["noted"] | None:
        outcome = await operator.hang_up(call_id)
        if outcome == "noted":
            ending.add(Stopped(ids=(call_id,), noted=1))
            if care.wait:
                await ending.wait(operator, seconds=care.wait, quiet=quiet)
            return "noted" if ending.left else "ended"
        return outcome

    outcome = operate(target, work)
    if outcome is None:
        raise CliFailure(records.NOT_ON_RECORD)
    if as_document:
        write(document({"object": "call.hangup", "id": call_id, "outcome": outcome}))
    elif quiet:
        write(f"{outcome}\n")
    else:
        write(f"call {call_id} {_OUTCOMES[outcome]}\n")
    if outcome == "noted":
        ending.tell_what_is_left()
    return EXIT_FAILED if outcome == "noted" and care.wait else EXIT_DONE


def _hang_up_many(wanted: CallFilter, care: Care, target: Target, *, as_document: bool, quiet: bool) -> int:
    expected, ending = Ending(), Ending()
    if care.dry_run or not care.yes:
        operate(target, lambda operator: stop_matching(operator, wanted, expected, quiet=quiet, dry_run=True))
    if care.dry_run:
        return _tell_expected(expected, as_document=as_document, quiet=quiet)
    if not care.yes and (expected.found > 1 or wanted == CallFilter()):
        confirm(f"Hang up {_open_calls(expected.found)}?")

    async def act(operator: Operator) -> None:
        with ending.told_how_far():
            await stop_matching(operator, wanted, ending, quiet=quiet)
        if care.wait:
            await ending.wait(operator, seconds=care.wait, quiet=quiet)

    operate(target, act)
    if as_document:
        write(document({"object": "calls.hangup", "dry_run": False, **ending.as_json()}))
    elif quiet:
        write(f"{ending.ended}\n")
    else:
        write(f"{told(ending, waited=care.wait > 0)}\n")
    if care.wait:
        ending.tell_what_is_left()
    return status_of(ending, waited=care.wait > 0) if ending.found else EXIT_FAILED


async def stop_matching(
    operator: Operator, wanted: CallFilter, ending: Ending, *, quiet: bool, dry_run: bool = False
) -> None:
    """Note all calls that match, step by step; with ``dry_run`` only count them."""
    cursor: str | None = None
    with progress(shown=not quiet) as said:
        while True:
            step = await operator.stop_step(wanted, cursor=cursor, dry_run=dry_run)
            ending.add(step)
            said(f"found {ending.found:,}")
            cursor = step.next_cursor
            if cursor is None:
                return


def told(ending: Ending, *, waited: bool, dry_run: bool = False) -> str:
    """What was done, or would be, in one sentence."""
    if dry_run:
        return f"would hang up {_open_calls(ending.found)}"
    if not ending.found:
        return "no open call matches"
    if not waited:
        return f"{_open_calls(ending.found)} noted: the replicas hang them up, whichever runs"
    return ending.in_words()


def status_of(ending: Ending, *, waited: bool) -> int:
    """The exit status: whether all calls have ended that were waited for."""
    return EXIT_FAILED if ending.newer or (waited and ending.left) else EXIT_DONE


def _tell_expected(expected: Ending, *, as_document: bool, quiet: bool) -> int:
    if as_document:
        figures = {"would_hang_up": expected.found, "newer_release": expected.newer}
        write(document({"object": "calls.hangup", "dry_run": True, **figures}))
    elif quiet:
        write(f"{expected.found}\n")
    else:
        write(f"{told(expected, waited=False, dry_run=True)}\n")
    if expected.newer:
        tell(f"a newer release wrote {expected.newer:,} more, which cannot be ended from here")
    return EXIT_DONE if expected.found and not expected.newer else EXIT_FAILED


def _open_calls(count: int) -> str:
    return f"{count:,} open call{'' if count == 1 else 's'}"
