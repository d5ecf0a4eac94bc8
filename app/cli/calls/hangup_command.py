"""``cloakroom calls hangup``: end one call at its provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from app.broker.hangup import Outcome
from app.cli.calls.show_command import GONE
from app.cli.failure import EXIT_DONE, CliFailure
from app.cli.output import document, write
from app.cli.pasted import read_call_id
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target

if TYPE_CHECKING:
    from app.cli.operator.base import Operator

_WORDS: Final[Mapping[Outcome, str]] = {
    "ended": "hung up",
    "gone": "was over already, says the provider",
    "repeated": "had been hung up before",
}


def hang_up_call(
    call: str,
    /,
    *,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """End a call, whichever replica relayed it.

    Needs a replica, since the store alone has no provider's credential. Exit status 1 when the
    call is not on record.

    Args:
        call: Its id, or the Location that the relay answered.
        as_document: Print one JSON document.
        quiet: Print only the outcome: ended, gone or repeated.
    """
    call_id = read_call_id(call)

    async def work(operator: Operator) -> int:
        outcome = await operator.hang_up(call_id)
        if outcome is None:
            raise CliFailure(GONE)
        if as_document:
            write(document({"object": "call.hangup", "id": call_id, "outcome": outcome}))
        elif quiet:
            write(f"{outcome}\n")
        else:
            write(f"call {call_id} {_WORDS[outcome]}\n")
        return EXIT_DONE

    return operate(target, work)
