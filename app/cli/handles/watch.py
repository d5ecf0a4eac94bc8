"""``cloakroom handles watch``: the command, an event as a line, and the live view on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from app.cli.arguments import checked_names
from app.cli.handles.watching import Wanted, Watching, failed
from app.cli.output import for_people, json_line, tell, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate, where_to
from app.store.events import Event
from app.telemetry.redaction import legible

_NAME_STYLES: Final[Mapping[str, str]] = {
    "mint": "green",
    "exchange": "green",
    "relay": "cyan",
    "report": "cyan",
    "ice": "cyan",
    "lookup": "cyan",
    "hangup": "blue",
    "sideband": "blue",
    "revoke": "magenta",
    "expiry": "dim",
    "dropped": "yellow",
}
_HEAD_LINES: Final = 3
_KEPT: Final = 500
_COUNTED: Final = ("mint", "relay", "report", "hangup", "revoke", "expiry")
_ALL: Final = Wanted()

# Takes a batch of events; returns False once the reader has gone.
Show = Callable[[Sequence[Event]], bool]


def watch_handles(
    *,
    wanted: Wanted = _ALL,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0, lte=604_800))] = None,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """Watch mints, relays, hang-ups, revocations, failures and expiries of all replicas, until Ctrl-C.

    A live view on a terminal, one line for each event in a pipe. Expiries are shown for up to 2000 handles
    that are alive at the beginning, and for those minted since. The first events come within two seconds.

    Args:
        seconds: End after this many seconds.
        as_document: Print one JSON object on each line.
        quiet: Do not say on standard error that it is watching.
    """
    checked_names(wanted)
    where = where_to(target)

    async def work(operator: Operator) -> None:
        watching = Watching(operator, wanted)
        with _shown(where, as_document=as_document, quiet=quiet) as show, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), contextlib.aclosing(watching.batches()) as batches:
                async for events in batches:
                    if not show(events):
                        break
        if watching.book.untold and not quiet:
            tell("some expiries were not shown: there were more handles than a watch can follow")

    operate(target, work)


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


class Screen:
    """The live view: how many events of each kind so far, and the latest of them."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._sums: Counter[str] = Counter()
        self._failures = 0
        self._lines: deque[Text] = deque(maxlen=_KEPT)

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            self._sums[event.name] += 1
            self._failures += failed(event)
            self._lines.append(event_line(event))

    def rendered(self, height: int) -> Group:
        """As much as fits into ``height`` lines."""
        head = Text(
            f"watching {self._where}, Ctrl-C ends it", style="bold", no_wrap=True, overflow="ellipsis"
        )
        sums = Text("  ".join(f"{name} {self._sums[name]:,}" for name in _COUNTED), no_wrap=True)
        sums.append(f"  failed {self._failures:,}", style="bold red" if self._failures else "")
        room = max(height - _HEAD_LINES - 1, 1)
        return Group(head, sums, Text(), *list(self._lines)[-room:])


@contextlib.contextmanager
def live_screen(where: str) -> Iterator[Show]:
    """Yield a function that shows events; it always returns True, as a screen does not go away."""
    console, screen = Console(highlight=False), Screen(where)
    with Live(screen.rendered(console.height), console=console, auto_refresh=False, transient=False) as live:

        def show(events: Sequence[Event]) -> bool:
            screen.add(events)
            live.update(screen.rendered(console.height), refresh=True)
            return True

        yield show


def event_line(event: Event) -> Text:
    """The event as one line: time in UTC, what happened, how it ended, to whom, where."""
    fields = event.fields
    line = Text(f"{_clock(fields.get('at'))}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{legible(event.name)[:8]:<8}", style=_NAME_STYLES.get(event.name, ""))
    line.append(f"{_result(event):<16}  ", style="red" if failed(event) else "")
    line.append("  ".join(part for part in _details(event) if part))
    return line


def event_document(event: Event) -> dict[str, Any]:
    """The event as a JSON object: its name, then its fields unchanged."""
    return {"event": event.name, **event.fields}


def _result(event: Event) -> str:
    if event.name == "dropped":
        count = event.fields.get("count")
        return f"{count if count is not None else 'some'} missed"
    if event.name == "expiry":
        return "expired"
    if failed(event):
        told = [event.fields.get(name) for name in ("code", "outcome", "status")]
        return legible(str(next((word for word in told if word), "failed")))
    return legible(str(event.fields.get("outcome") or "ok"))


def _details(event: Event) -> list[str]:
    fields = event.fields
    parts = [_text(fields.get(name)) for name in ("client", "model", "handle", "call_id")]
    if fields.get("revoked") is not None:
        parts.append(f"{fields['revoked']} revoked")
    if fields.get("noted") is not None:
        noted = fields["noted"]
        parts.append(f"{noted} call{'' if noted == 1 else 's'} to be hung up")
    if fields.get("by"):
        parts.append(f"by {_text(fields['by'])}")
    if fields.get("replica"):
        parts.append(f"at {_text(fields['replica'])}")
    total = fields.get("total_ms")
    if isinstance(total, int | float):
        parts.append(f"{total:.0f} ms" if total >= 10 else f"{total:.1f} ms")
    return parts


def _text(value: Any) -> str:
    return legible(str(value)) if value is not None else ""


def _clock(at: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(float(at), UTC):%H:%M:%S}"
    except (TypeError, ValueError, OverflowError, OSError):
        return "--:--:--"
