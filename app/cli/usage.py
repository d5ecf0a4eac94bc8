"""What is said of a wrong usage. It repeats no value that could be a secret, pasted into the wrong place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cyclopts import CycloptsError

from app.telemetry.redaction import redact

# Names of commands and options, numbers, and words that are too short to be a key.
_HARMLESS: Final = re.compile(r"-{0,2}[A-Za-z][A-Za-z-]{0,23}\Z|[A-Za-z0-9._:-]{1,15}\Z")
_LEADING_HYPHEN_ID: Final = re.compile(r"-[A-Za-z0-9_-]{21}\Z")
_MASK: Final = "..."


def usage_error(error: CycloptsError) -> str:
    """The error for the screen, in one line and without a frame."""
    return f"cloakroom: {masked(str(error), error.root_input_tokens or ())}"


def masked(text: str, arguments: Iterable[str]) -> str:
    """``text`` without those of the arguments, or their parts, that could be a secret."""
    parts = {part for argument in arguments for part in _parts(argument)}
    for part in sorted(parts, key=len, reverse=True):
        if part and not _HARMLESS.match(part):
            text = text.replace(part, _MASK)
    return redact(text)


def _parts(argument: str) -> Iterator[str]:
    name, equals, value = argument.partition("=")
    # An option that does not exist may have its value behind the sign, or be one itself.
    yield from (name, value) if equals and name.startswith("-") else (argument,)
    yield from argument.split()
    # As Python shows it in a list.
    yield repr(argument)[1:-1]


def with_ids_for_arguments(argv: Sequence[str]) -> list[str]:
    """One handle id in 64 begins with a hyphen: put it in braces, which we take too, lest it be an option."""
    if argv[:1] != ["handles"]:
        return list(argv)
    return [f"{{{word}}}" if _LEADING_HYPHEN_ID.match(word) else word for word in argv]
