"""Names of clients, models and the like as they are given for a filter."""

from __future__ import annotations

import re
from typing import Final

from app.cli.failure import EXIT_REFUSED, CliFailure

# A key or a handle, pasted into the wrong place: it would go to the service, and into its audit log.
_SECRET: Final = re.compile(
    r"(?:(?:sk|ek|ck|ak|rk|pk|sess)[-_][^\s]{16,}|.*eyJ[A-Za-z0-9_-]{8,}\.|(?:authorization|bearer)\b)",
    re.IGNORECASE,
)
_LONGEST: Final = 256


def checked_name(option: str, given: str | None) -> str | None:
    """The name, as it was given.

    Raises:
        CliFailure: it is empty, as an unset variable of a script is, or looks like a secret.
    """
    if given is None:
        return None
    if not given or len(given) > _LONGEST or not given.isprintable():
        raise CliFailure(
            f"{option} must have 1 to {_LONGEST} printable characters; leave it out where nothing is meant.",
            status=EXIT_REFUSED,
        )
    if _SECRET.match(given):
        raise CliFailure(
            f"{option} takes a name, and what was given looks like a secret. It was sent nowhere.",
            status=EXIT_REFUSED,
        )
    return given
