"""``cloakroom calls show``: one call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from app.broker.desk import call_document
from app.cli.calls.rows import STATE_STYLES
from app.cli.columns import print_lines
from app.cli.failure import EXIT_DONE, CliFailure
from app.cli.output import document, printable, write
from app.cli.pasted import read_call_id
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target
from app.cli.times import ago, utc
from app.models import CallRecord

if TYPE_CHECKING:
    from app.cli.operator.base import Operator

GONE: Final = "there is no call of this id: it was never relayed here, or is no longer on record."
_LABEL: Final = 11


def show_call(
    call: str,
    /,
    *,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """Tell what is known of a call. Exit status 1 when it is not on record.

    Args:
        call: Its id, or the Location that the relay answered.
        as_document: Print one JSON document.
        quiet: Print only its state: open or ended.
    """
    call_id = read_call_id(call)

    async def work(operator: Operator) -> int:
        found = await operator.call(call_id)
        if found is None:
            raise CliFailure(GONE)
        if as_document:
            write(document(call_document(found)))
        elif quiet:
            write(f"{_state(found)}\n")
        else:
            print_lines(list(call_lines(found, now=time.time())))
        return EXIT_DONE

    return operate(target, work)


def call_lines(call: CallRecord, *, now: float) -> Iterator[Text]:
    """The lines to print; ``now`` is epoch seconds."""
    state = _state(call)
    hint = "nobody hung it up here; it may have ended by itself" if state == "open" else "hung up"
    yield Text(f"Call {printable(call.id)} is ").append(state, style=STATE_STYLES[state]).append(f": {hint}")
    yield Text()
    facts = [
        ("relayed", f"{utc(call.relayed_at)} ({ago(call.relayed_at, now)}) by {call.relayed_by or '?'}"),
        ("client", call.client),
        ("subject", call.subject or "none was given"),
        ("model", call.model),
        ("through", f"deployment {call.deployment}"),
        ("handle", call.handle),
    ]
    if call.ended_at is not None:
        facts.append(("ended", f"{utc(call.ended_at)} ({ago(call.ended_at, now)}) by {call.ended_by or '?'}"))
    for label, text in facts:
        yield Text(f"{label:<{_LABEL}}", style="bold").append(printable(text), style="not bold")


def _state(call: CallRecord) -> str:
    return "open" if call.ended_at is None else "ended"
