"""``cloakroom pool show``: the keys that are minted ahead, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.text import Text

from app.cli.arguments import checked_name
from app.cli.display import Column, Columns, print_lines, terminal_width
from app.cli.failure import EXIT_UNREACHED, CliFailure
from app.cli.output import document, tell, write
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.telemetry.redaction import legible

_NONE: Final = "no running replica has a warm pool; models.<name>.pool turns one on (docs/warm-pool.md)."
_NOT_UNDERSTOOD: Final = (
    "what answers does not tell its pools as this version has them; see 'cloakroom --version'."
)
_STATES: Final[Mapping[str, str]] = {"ready": "follows demand", "turned_down": "turned down"}
_STYLES: Final = {
    "follows demand": "green",
    "filling": "green",
    "starting": "green",
    "turned down": "yellow",
    "paused": "yellow",
    "idle": "dim",
}
_COLUMNS: Final = (
    Column("MODEL", most=32),
    Column("STOCK", right=True),
    Column("TARGET", rank=6, right=True),
    Column("DEMAND", rank=4, right=True),
    Column("MINTED", rank=2, right=True),
    Column("USED", rank=2, right=True),
    Column("WASTED", rank=3, right=True),
    Column("LOST", rank=5, right=True),
    Column("WASTE", rank=1, right=True),
    Column("STATE", styles=_STYLES),
)

Pool = Mapping[str, Any]


def show_pools(
    *,
    model: str | None = None,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """Show each model's warm pool: its keys in stock, what became of the others, and what it does now.

    STOCK is how many keys are there of those that the demand asks for, DEMAND the mints of the last minute
    that could use one. MINTED, USED, WASTED (thrown away, too old) and LOST add up since the pool was first
    used. WASTE is the share of the last hour's keys that was thrown away.

    Args:
        model: Only this one. Exit status 1 when no running replica has a pool for it.
        as_document: Print one JSON document.
    """
    checked_name("--model", model)
    found = operate(target, lambda operator: operator.pools())
    try:
        pools = [pool for pool in found["data"] if model in (None, pool["model"])]
        lines = list(_lines(pools))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CliFailure(_NOT_UNDERSTOOD, status=EXIT_UNREACHED) from None
    if model is not None and not pools:
        raise CliFailure(f"no running replica has a warm pool for the model {legible(model)}.")
    if as_document:
        write(document({**found, "data": pools}))
    elif pools:
        print_lines(lines)
    else:
        tell(_NONE)


def _lines(pools: Sequence[Pool]) -> Iterator[Text]:
    width = terminal_width()
    yield from Columns(_COLUMNS, width=width).lines([_row(pool) for pool in pools])
    notes = [legible(f"{pool['model']} {note}") for pool in pools for note in _notes(pool)]
    if notes:
        yield Text()
    for note in notes:
        yield from map(Text, [note] if width is None else wrap(note, width, subsequent_indent="  "))


def _row(pool: Pool) -> Sequence[str]:
    counts = (pool[name] for name in ("minted", "used", "wasted", "lost"))
    return (
        pool["model"],
        f"{pool['stock']:,}/{pool['goal']:,}",
        f"{pool['target']:,}",
        f"{pool['demand']:,}/min",
        *(f"{count:,}" for count in counts),
        _percent(pool["hour"]["waste"]) if pool["hour"]["minted"] else "",
        _STATES.get(pool["state"], pool["state"]),
    )


def _notes(pool: Pool) -> Iterator[str]:
    """What the state means, in sentences that follow the model's name."""
    if pool["paused"]:
        yield _paused(pool)
    if pool["state"] == "starting":
        yield (
            f"is starting: it keeps {pool['goal']:,} keys at most until it has minted more, so that no more "
            f"than {_percent(pool['max_waste'])} of them can be wasted (max_waste)."
        )
    elif pool["state"] == "turned_down":
        yield _turned_down(pool)
    elif pool["state"] == "idle" and 1 < pool["demand"] <= pool["sessions"]:
        yield "is idle: each mint wanted another session, and only equal sessions share keys."


def _turned_down(pool: Pool) -> str:
    waste, most = pool["hour"]["waste"], _percent(pool["max_waste"])
    said = f"is turned down: {_percent(waste)} of the last hour's keys were thrown away"
    if waste < pool["max_waste"]:
        return f"{said}. With more than {pool['goal']:,} in stock it could be more than {most} (max_waste)."
    return f"{said}, and max_waste is {most}. It recovers as that hour passes."


def _paused(pool: Pool) -> str:
    everywhere = pool["state"] == "paused"
    # Where all replicas pause, the first that is done goes on.
    told = (min if everywhere else max)(pool["paused"], key=lambda one: float(one["seconds"]))
    seconds = f"{math.ceil(told['seconds'])} s"
    said = (
        f"the provider says wait {seconds}"
        if told["reason"] == "limited"
        else f"its mints fail, and are tried again in {seconds}"
    )
    if everywhere:
        return f"is paused: {said}."
    names = ", ".join(sorted({str(one["replica"]) for one in pool["paused"]}))
    return f"is paused at {names}: {said}."


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
