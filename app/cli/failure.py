"""How a command says that it could not do its work."""

from __future__ import annotations

from typing import Final

# What a shell script may rely on; docs/command-line.md has the table.
EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2
EXIT_UNREACHED: Final = 3


class CliFailure(Exception):
    """Ends the command; the message goes to stderr and says how to mend it.

    ``status`` is the exit status: 1 failed or not found, 2 used wrongly or refused, 3 the other side cannot
    be reached or refuses us.
    """

    def __init__(self, message: str, *, status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.status: Final = status
