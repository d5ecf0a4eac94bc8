"""The live view of ``cloakroom handles watch`` on a terminal: sums above, the latest events below."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from app.cli.handles.event_lines import event_line
from app.cli.handles.watching import failed
from app.store.events import Event

_HEAD_LINES: Final = 3
_KEPT: Final = 500
_SHOWN: Final = ("mint", "relay", "hangup", "revoke", "expiry")


class Screen:
    """What is on the screen: how much of each has happened since the beginning, and the last of it."""

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
        """As much as fits into so many lines."""
        head = Text(
            f"watching {self._where}, Ctrl-C ends it", style="bold", no_wrap=True, overflow="ellipsis"
        )
        sums = Text("  ".join(f"{name} {self._sums[name]:,}" for name in _SHOWN), no_wrap=True)
        sums.append(f"  failed {self._failures:,}", style="bold red" if self._failures else "")
        room = max(height - _HEAD_LINES - 1, 1)
        return Group(head, sums, Text(), *list(self._lines)[-room:])


@contextlib.contextmanager
def live_screen(where: str) -> Iterator[Callable[[Sequence[Event]], bool]]:
    """Yield what is told each batch of events; it always returns True, as a screen does not go away."""
    console, screen = Console(highlight=False), Screen(where)
    with Live(screen.rendered(console.height), console=console, auto_refresh=False, transient=False) as live:

        def show(events: Sequence[Event]) -> bool:
            screen.add(events)
            live.update(screen.rendered(console.height), refresh=True)
            return True

        yield show
