"""``cloakroom handles watch``: what happens, while it happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.failure import EXIT_DONE
from app.cli.handles.event_lines import event_document, event_line
from app.cli.handles.live_view import live_screen
from app.cli.handles.watching import Wanted, Watching
from app.cli.named import checked_name
from app.cli.output import for_people, json_line, tell, write
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target, where_to
from app.store.events import Event

if TYPE_CHECKING:
    from app.cli.operator.base import Operator

Show = Callable[[Sequence[Event]], bool]


def watch_handles(
    *,
    client: str | None = None,
    model: str | None = None,
    deployment: str | None = None,
    failures: Annotated[bool, Parameter(negative=())] = False,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0, lte=604_800))] = None,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """Watch mints, relays, hang-ups, revocations, failures and expiries of all replicas, until Ctrl-C.

    A live view on a terminal, one line an event in a pipe. Expiries are told of the handles that were there
    at the beginning, up to 2000, and of those minted since. The first events come within two seconds.

    Args:
        client: Only what concerns this client.
        model: Only what concerns this model.
        deployment: Only what concerns this deployment.
        failures: Only what failed.
        seconds: End by itself after so many seconds.
        as_document: Print one JSON object a line.
        quiet: Do not say on standard error that it is watching.
    """
    wanted = Wanted(
        client=checked_name("--client", client),
        model=checked_name("--model", model),
        deployment=checked_name("--deployment", deployment),
        failures=failures,
    )
    where = where_to(target)

    async def work(operator: Operator) -> int:
        watching = Watching(operator, wanted)
        with _shown(where, as_document=as_document, quiet=quiet) as show, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _show_all(watching, show)
        if watching.book.untold and not quiet:
            tell("not every expiry was told: there were more handles than a watcher keeps in mind")
        return EXIT_DONE

    return operate(target, work)


async def _show_all(watching: Watching, show: Show) -> None:
    async with contextlib.aclosing(watching.batches()) as batches:
        async for events in batches:
            if not show(events):
                return


@contextlib.contextmanager
def _shown(where: str, *, as_document: bool, quiet: bool) -> Iterator[Show]:
    if for_people() and not as_document:
        with live_screen(where) as show:
            yield show
        return
    if not quiet:
        tell(f"watching {where}, Ctrl-C ends it")

    def in_lines(events: Sequence[Event]) -> bool:
        if as_document:
            return write("".join(json_line(event_document(event)) for event in events))
        return write("".join(f"{event_line(event).plain}\n" for event in events))

    yield in_lines
