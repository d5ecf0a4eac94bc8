"""Says on a terminal what is still being looked at, so that ten seconds do not look like a hang."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.text import Text


@contextlib.contextmanager
def progress(console: Console, *, shown: bool) -> Iterator[Callable[[Sequence[str]], None]]:
    """Yield what is told the titles of the work that is left.

    Args:
        console: on standard error, so that the report's own stream stays clean.
        shown: False keeps it silent; so does a console that is no terminal, or a dumb one.
    """
    if not shown or not console.is_terminal or console.is_dumb_terminal:
        yield lambda waiting: None
        return
    # A spinner of ASCII signs, for terminals of any encoding.
    with console.status("looking", spinner="line") as status:

        def tell(waiting: Sequence[str]) -> None:
            if waiting:
                status.update(Text(f"looking at {', '.join(waiting)}"))

        yield tell
