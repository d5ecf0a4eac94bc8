"""``cloakroom calls list``: the calls that were relayed, and which of them nobody has hung up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.calls.rows import CALLS
from app.cli.failure import EXIT_DONE
from app.cli.listing import Manner, print_listing
from app.cli.named import checked_name
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target
from app.models import CallRecord
from app.store.views import CallFilter, CallState, Page

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


def list_calls(
    *,
    client: str | None = None,
    subject: str | None = None,
    model: str | None = None,
    deployment: str | None = None,
    state: CallState | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 50,
    all_pages: Annotated[bool, Parameter(name="--all", negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """List the calls on record, the latest first.

    A call is open until somebody hangs it up through the service; one that the browser or the provider ended
    is not known to have ended. No provider lets one last longer than an hour.

    Args:
        client: Only those of this client's handles.
        subject: Only those of handles that were minted for this subject.
        model: Only those of this model (the alias that clients ask for).
        deployment: Only those that live at this deployment.
        state: Only the open, or the ended.
        limit: Show so many at the most.
        all_pages: Show all, page by page as they come; with --json one object a line.
        as_document: Print one JSON document.
        quiet: Print only the ids.
    """
    wanted = CallFilter(
        client=checked_name("--client", client),
        subject=checked_name("--subject", subject),
        model=checked_name("--model", model),
        deployment=checked_name("--deployment", deployment),
        state=state,
    )
    manner = Manner(most=None if all_pages else limit, as_document=as_document, quiet=quiet)

    async def work(operator: Operator) -> int:
        async def fetch(cursor: str | None, most: int) -> Page[CallRecord]:
            return await operator.calls(wanted, cursor=cursor, limit=most)

        await print_listing(CALLS, fetch, manner, now=time.time())
        return EXIT_DONE

    return operate(target, work)
