"""Asks a person before something is done that cannot be undone."""

from __future__ import annotations

import sys

from app.cli.failure import EXIT_REFUSED, CliFailure


def confirm(question: str) -> None:
    """Return when the person at the terminal says yes.

    Raises:
        CliFailure: the answer is no, or there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise CliFailure(
            f"{question} There is no terminal to ask at: nothing was done. Say --yes to do it.",
            status=EXIT_REFUSED,
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliFailure("nothing was done.", status=EXIT_REFUSED)
