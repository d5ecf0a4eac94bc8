"""``cloakroom handles list``: how many are alive, and whose they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.failure import EXIT_DONE
from app.cli.handles.count import print_count
from app.cli.handles.rows import HANDLES
from app.cli.listing import Manner, print_listing
from app.cli.named import checked_name
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target
from app.store.views import HandleFilter, HandleState, HandleView, Page

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


def list_handles(
    *,
    client: str | None = None,
    subject: str | None = None,
    model: str | None = None,
    deployment: str | None = None,
    state: HandleState | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 50,
    all_pages: Annotated[bool, Parameter(name="--all", negative=())] = False,
    count: Annotated[bool, Parameter(negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """List the handles that have not expired, those that expire last first.

    Args:
        client: Only those minted by this client.
        subject: Only those minted for this subject.
        model: Only those of this model (the alias that clients ask for).
        deployment: Only those minted through this deployment.
        state: Only the live, the spent (all calls used) or the revoked.
        limit: Show so many at the most.
        all_pages: Show all, page by page as they come; with --json one object a line.
        count: Print only how many there are.
        as_document: Print one JSON document.
        quiet: Print only the ids.
    """
    wanted = HandleFilter(
        client=checked_name("--client", client),
        subject=checked_name("--subject", subject),
        model=checked_name("--model", model),
        deployment=checked_name("--deployment", deployment),
        state=state,
    )
    manner = Manner(most=None if all_pages else limit, as_document=as_document, quiet=quiet)

    async def work(operator: Operator) -> int:
        if count:
            await print_count(operator, wanted, as_document=as_document, quiet=quiet)
            return EXIT_DONE

        async def fetch(cursor: str | None, most: int) -> Page[HandleView]:
            return await operator.handles(wanted, cursor=cursor, limit=most)

        await print_listing(HANDLES, fetch, manner, now=time.time())
        return EXIT_DONE

    return operate(target, work)
