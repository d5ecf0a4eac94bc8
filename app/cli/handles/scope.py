"""Which handles a revocation means, in words and as a filter. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.cli.named import checked_name
from app.cli.pasted import UnverifiedHandle, read_unverified
from app.store.views import HandleFilter


@dataclass(frozen=True, slots=True)
class Scope:
    """Handles by name, or all that match ``wanted``; one of the two."""

    named: tuple[UnverifiedHandle, ...] = ()
    wanted: HandleFilter | None = None


def scope_of(pasted: Sequence[str], *, client: str | None, subject: str | None, model: str | None) -> Scope:
    """What the arguments mean; a handle that is named twice counts once.

    Raises:
        CliFailure: nothing is named, both ways are mixed, or an argument is no handle.
    """
    wanted = HandleFilter(
        client=checked_name("--client", client),
        subject=checked_name("--subject", subject),
        model=checked_name("--model", model),
    )
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
    found = {one.id: one for one in (read_unverified(text) for text in pasted)}
    return Scope(named=tuple(found.values()))
