"""``cloakroom handles list``: how many are alive, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated, Final

from cyclopts import Parameter

from app.broker.desk import handle_document
from app.cli.arguments import checked_names
from app.cli.display import Column
from app.cli.listing import USUAL, Amount, Shape, print_listing, walk
from app.cli.output import document, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.cli.times import ago, span
from app.store.listing.views import HandleFilter, HandleState, HandleView

STATE_STYLES: Final = {"live": "green", "spent": "yellow", "revoked": "red", "unknown": "magenta"}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Choice:
    """The options that choose handles."""

    client: Annotated[str | None, Parameter(help="Only those minted by this client.")] = None
    subject: Annotated[str | None, Parameter(help="Only those minted for this subject.")] = None
    model: Annotated[
        str | None, Parameter(help="Only those of this model (the alias that clients ask for).")
    ] = None
    deployment: Annotated[str | None, Parameter(help="Only those minted through this deployment.")] = None
    state: Annotated[
        HandleState | None,
        Parameter(
            help="Only those that are live, spent (all calls used) or revoked; unknown: of a newer release."
        ),
    ] = None
    suspected: Annotated[
        bool | None,
        Parameter(
            negative=(),
            help="Only those with security events, such as a use from elsewhere; the latest event first.",
        ),
    ] = None


_ALL: Final = Choice()


def list_handles(
    *,
    choice: Choice = _ALL,
    amount: Amount = USUAL,
    count: Annotated[bool, Parameter(negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """List the handles that have not expired; the first is the one that expires last.

    With ``--suspected`` the first is the one with the latest security event.

    Args:
        count: Print only how many there are.
        as_document: Print one JSON document.
        quiet: Print only the ids.
    """
    wanted = HandleFilter(**checked_names(choice))

    async def work(operator: Operator) -> None:
        fetch = partial(operator.handles, wanted)
        if not count:
            await print_listing(
                SUSPECTS if wanted.suspected else HANDLES, fetch, amount, as_document=as_document, quiet=quiet
            )
            return
        exact, number = not _index_counts(wanted), 0
        if exact:
            async for step in walk(fetch, quiet=quiet):
                number = step.found
        else:
            number = await operator.count(wanted)
        counted = {"object": "count", "handles": number, "exact": exact}
        write(document(counted) if as_document else f"{number}\n")

    operate(target, work)


def _index_counts(wanted: HandleFilter) -> bool:
    """Whether the index lists just these: all, those of one client, or those of one model.

    Its figure is true to the minute: handles that expired within the last one are still in it.
    """
    given = [getattr(wanted, field.name) for field in fields(wanted)]
    asked = sum(value is not None for value in given)
    return asked == 0 or (asked == 1 and (wanted.client is not None or wanted.model is not None))


def _row(view: HandleView, now: float) -> Sequence[str]:
    calls = f"{view.calls}/{view.max_calls}" if view.max_calls else f"{view.calls}"
    if not view.known_version:
        calls = ""
    return (
        view.id,
        view.state,
        view.client,
        view.subject,
        view.model,
        view.deployment,
        ago(view.minted_at, now) if view.minted_at else "",
        span(view.life),
        calls,
        f"{view.suspicions}" if view.suspicions else "",
    )


def _suspect_row(view: HandleView, now: float) -> Sequence[str]:
    return (
        view.id,
        view.state,
        view.client,
        view.subject,
        view.model,
        span(view.life),
        f"{view.suspicions}",
        ago(view.suspected_at, now) if view.suspected_at else "",
        view.suspicion,
    )


HANDLES: Final[Shape[HandleView]] = Shape(
    noun="handle",
    columns=(
        Column("ID", most=22),
        Column("STATE", styles=STATE_STYLES, most=7),
        Column("CLIENT", rank=1, most=20),
        Column("SUBJECT", rank=4, most=24),
        Column("MODEL", rank=3, most=24),
        Column("DEPLOYMENT", rank=6, most=20),
        Column("MINTED", rank=5, most=16),
        Column("LEFT", right=True, most=12),
        Column("CALLS", rank=2, right=True, most=9),
        Column("SUSPECT", rank=2, right=True, most=7),
    ),
    row=_row,
    as_json=handle_document,
    id_of=lambda view: view.id,
)
SUSPECTS: Final[Shape[HandleView]] = Shape(
    noun="suspicious handle",
    columns=(
        Column("ID", most=22),
        Column("STATE", styles=STATE_STYLES, most=7),
        Column("CLIENT", rank=2, most=20),
        Column("SUBJECT", rank=3, most=24),
        Column("MODEL", rank=5, most=24),
        Column("LEFT", rank=4, right=True, most=12),
        Column("EVENTS", rank=1, right=True, most=7),
        Column("LAST", most=16),
        Column("WHAT", most=20),
    ),
    row=_suspect_row,
    as_json=handle_document,
    id_of=lambda view: view.id,
    latest=lambda view: view.suspected_at or 0,
    none="no suspicious handles; of those that have expired only the log tells (security_event)",
)
