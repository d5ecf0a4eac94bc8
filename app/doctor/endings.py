"""The rows on models that end: which aliases lead to one, when, and what to change. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from app.broker.routing.retirement import Ending, Told, tells_ends
from app.doctor.finding import Finding
from app.doctor.mint import Place
from app.doctor.source import Origin
from app.models import USUAL_MODEL, Deployment

# What ends at a deployment, by its name and by what its provider told.
Foresight = Callable[[str, Told], Sequence[Ending]]


def no_foresight(deployment: str, told: Told) -> Sequence[Ending]:
    """For a deployment that no model leads to."""
    return ()


def ending_findings(
    deployment: Deployment,
    endings: Sequence[Ending],
    *,
    told: Told | None,
    now: float,
    place: Place,
    origin: Origin,
) -> Iterator[Finding]:
    """A row for each model that ends, or one that says that none does; none where ends are not known.

    Args:
        told: what the provider's list of models told; None where it told nothing.
        now: epoch seconds.
        place: returns the name of a field's setting.
    """
    if not tells_ends(deployment):
        return
    finding = partial(Finding, "deployment", "model ends", subject=deployment.name)
    for ending in endings:
        text = _text(ending, now)
        if ending.is_near(now):
            yield finding("warn", text, _fix(ending, place, origin))
        else:
            yield finding("ok", text)
    if not endings:
        source = "the provider's list" if told is not None else "the table of this release"
        yield finding("ok", f"none is announced, by {source}")


def _text(ending: Ending, now: float) -> str:
    end, days = ending.end, ending.days_left(now)
    model = ending.alias if ending.model == ending.alias else f"{ending.alias}: {ending.model}"
    when = f"ends on {end.day}, in {days} days" if days >= 0 else f"ended on {end.day}"
    return f"{model} {when} ({end.source}, {end.looked_at})"


def _fix(ending: Ending, place: Place, origin: Origin) -> str:
    instead = ending.end.successor or USUAL_MODEL
    if origin == "litellm":
        return f"change {place('model')} to {instead}"
    day = ending.end.day
    return f"set models.{ending.alias}.successor to {instead}, and successor_from to a day before {day}"
