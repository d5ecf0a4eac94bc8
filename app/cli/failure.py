"""How a command fails: exit statuses, the failure, and the message for a wrong usage, without a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from app.telemetry.redaction import redact

if TYPE_CHECKING:
    from cyclopts import CycloptsError

# A shell script may rely on these; docs/command-line.md has the table.
EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2
EXIT_UNREACHED: Final = 3
EXIT_OPEN: Final = 4

# Names of commands and options, numbers, and words that are too short to be a key.
_HARMLESS: Final = re.compile(r"-{0,2}[A-Za-z][A-Za-z-]{0,23}\Z|[A-Za-z0-9._:-]{1,15}\Z")
_MASK: Final = "..."


class CliFailure(Exception):
    """Ends the command. The message goes to standard error and says what to do.

    ``status`` is the exit status: 1 failed or not found, 2 used wrongly or refused, 3 the other side cannot
    be reached or refuses us.
    """

    def __init__(self, message: str, *, status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.status: Final = status


def unusable_settings(error: Exception) -> CliFailure:
    """The failure for settings that cannot be used, one line for each problem."""
    lines = "\n".join(f"  - {line}" for line in str(error).splitlines())
    return CliFailure(f"the settings are not usable:\n{lines}")


def usable_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, with the secrets that lie in files under their own names.

    Raises:
        CliFailure: a file cannot be read, or a secret is given twice.
    """
    # Not every command needs the settings, whose libraries take a while to load.
    from app.settings import SettingsError, Variables

    try:
        return dict(Variables(environ))
    except SettingsError as error:
        raise unusable_settings(error) from None


def usage_error(error: CycloptsError) -> str:
    """The error of the command line's parser in one line."""
    return f"cloakroom: {masked(str(error), error.root_input_tokens or ())}"


def masked(text: str, arguments: Iterable[str]) -> str:
    """``text`` without the arguments, or parts of them, that could be a secret."""
    parts = {part for argument in arguments for part in _parts(argument)}
    for part in sorted(parts, key=len, reverse=True):
        if part and not _HARMLESS.match(part):
            text = text.replace(part, _MASK)
    return redact(text)


def _parts(argument: str) -> Iterator[str]:
    name, equals, value = argument.partition("=")
    # An unknown option may carry its value behind the sign, or may itself be a value.
    yield from (name, value) if equals and name.startswith("-") else (argument,)
    yield from argument.split()
    # As Python shows it in a list.
    yield repr(argument)[1:-1]
