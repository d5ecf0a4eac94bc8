"""``cloakroom handles revoke``: stop one handle, or all of a client, subject or model, at every replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from app.cli.asking import confirm
from app.cli.failure import EXIT_DONE, EXIT_FAILED
from app.cli.handles.revoking import Tally, estimate, revoke_matching, revoke_named
from app.cli.handles.scope import Scope, scope_of
from app.cli.output import document, tell, write
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


def revoke_handles(
    *handles: str,
    client: str | None = None,
    subject: str | None = None,
    model: str | None = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """Revoke handles: from then on every replica refuses to relay with them. Calls that run go on.

    Asks before it touches more than one. Exit status 1 when a named handle is gone, or when nothing matches.

    Args:
        handles: Ids, handles, or pasted Authorization headers.
        client: All of this client.
        subject: All of this subject.
        model: All of this model. Of several such options all must fit.
        yes: Do not ask; needed where there is no terminal to ask at.
        dry_run: Only say how many there are.
        as_document: Print one JSON document.
        quiet: Print only how many were revoked.
    """
    scope = scope_of(handles, client=client, subject=subject, model=model)
    many = len(scope.named) > 1 or scope.wanted is not None
    tally = Tally()

    async def look(operator: Operator) -> int:
        await estimate(operator, scope, tally, exactly=dry_run, quiet=quiet)
        return EXIT_DONE

    async def act(operator: Operator) -> int:
        if scope.wanted is not None:
            await revoke_matching(operator, scope.wanted, tally, quiet=quiet)
        else:
            await revoke_named(operator, scope.named, tally)
        return EXIT_DONE

    if dry_run or (many and not yes):
        operate(target, look)
    if not dry_run and (not many or yes or tally.nothing_to_do or _agreed(scope, tally)):
        operate(target, act)
    _print(tally, dry_run=dry_run, as_document=as_document, quiet=quiet)
    return EXIT_FAILED if tally.gone or not tally.known else EXIT_DONE


def _agreed(scope: Scope, tally: Tally) -> bool:
    """Ask, unless it is one handle after all."""
    if tally.expected > 1:
        confirm(f"Revoke {'up to ' if tally.rough else ''}{tally.expected:,} handles at every replica?")
    return True


def _print(tally: Tally, *, dry_run: bool, as_document: bool, quiet: bool) -> None:
    if as_document:
        write(document(tally.as_json(dry_run=dry_run)))
    elif quiet:
        write(f"{tally.expected if dry_run else tally.revoked}\n")
    else:
        write(f"{tally.in_words(dry_run=dry_run)}\n")
    if tally.gone:
        tell(f"gone (expired, or never existed): {' '.join(tally.gone)}")
