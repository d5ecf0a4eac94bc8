"""Says on a terminal how far a long walk has got, on standard error, so that the output stays clean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text


@contextlib.contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[str], None]]:
    """Yield what is told each step; silent where standard error is no terminal."""
    console = Console(stderr=True)
    if not shown or not console.is_terminal or console.is_dumb_terminal:
        yield lambda text: None
        return
    # A spinner of ASCII signs, for terminals of any encoding.
    with console.status("looking", spinner="line") as status:
        yield lambda text: status.update(Text(text))
