"""The tree of commands. Commands are named by import string, so that a quick one stays quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App

from app.cli.failure import CliFailure

EXIT_FAILURE: Final = 1


def build() -> App:
    """Return the command line; ``result_action`` makes a command's integer the exit status."""
    root = App(
        name="cloakroom",
        help="Ephemeral-key broker and SDP relay for realtime voice.",
        version=lambda: f"cloakroom {version('cloakroom')}",
        result_action="return_int_as_exit_code_else_zero",
    )
    root.command(
        "app.cli.serve:serve", name="serve", help="Run one replica, as in production, until SIGTERM."
    )
    root.command(
        "app.cli.dev.command:dev",
        name="dev",
        help="Run replicas, a store and a provider on this machine, to try things out.",
    )
    root.command(
        "app.cli.doctor.command:doctor",
        name="doctor",
        help="Check settings, store and providers, and say how to mend what is wrong.",
    )
    keys = App(name="keys", help="Make and check the service's own secrets.")
    keys.command("app.cli.keys_new:new", name="new")
    keys.command("app.cli.keys_check:check", name="check")
    root.command(keys)
    return root


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed; a wrong usage exits with 2.

    ``argv`` is without the program's name; None takes the process's own.
    """
    try:
        status: int = build()(None if argv is None else list(argv))
    except CliFailure as failure:
        sys.stderr.write(f"cloakroom: {failure}\n")
        return EXIT_FAILURE
    return status
