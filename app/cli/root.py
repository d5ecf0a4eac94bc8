"""The tree of commands. Commands are named by import string, so that a quick one stays quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App

from app.cli.failure import CliFailure
from app.cli.output import tell
from app.cli.usage import usage_error, with_ids_for_arguments

_HANDLES: Final = "app.cli.handles"
_CALLS: Final = "app.cli.calls"


def build() -> App:
    """Return the command line; ``result_action`` makes a command's integer the exit status."""
    root = App(
        name="cloakroom",
        help="Ephemeral-key broker and SDP relay for realtime voice.",
        version=lambda: f"cloakroom {version('cloakroom')}",
        result_action="return_int_as_exit_code_else_zero",
        error_formatter=usage_error,
    )
    root.register_install_completion_command(help="Install completion for this shell: bash, zsh or fish.")
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
    root.command(_handles())
    root.command(_calls())
    config = App(name="config", help="Show the settings in force, masked, and the schema of the file.")
    config.command("app.cli.config.show_command:show_config", name="show")
    config.command("app.cli.config.schema_command:print_schema", name="schema")
    root.command(config)
    keys = App(name="keys", help="Make and check the service's own secrets.")
    keys.command("app.cli.keys_new:new", name="new")
    keys.command("app.cli.keys_check:check", name="check")
    root.command(keys)
    return root


def _handles() -> App:
    handles = App(name="handles", help="List, show, revoke and watch handles, for operators.")
    handles.command(f"{_HANDLES}.list_command:list_handles", name="list")
    handles.command(f"{_HANDLES}.show_command:show_handle", name="show")
    handles.command(f"{_HANDLES}.revoke_command:revoke_handles", name="revoke")
    handles.command(f"{_HANDLES}.watch_command:watch_handles", name="watch")
    return handles


def _calls() -> App:
    calls = App(name="calls", help="List, show and hang up calls, for operators.")
    calls.command(f"{_CALLS}.list_command:list_calls", name="list")
    calls.command(f"{_CALLS}.show_command:show_call", name="show")
    calls.command(f"{_CALLS}.hangup_command:hang_up_call", name="hangup")
    return calls


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, see ``failure``; a wrong usage exits with 2.

    ``argv`` is without the program's name; None takes the process's own.
    """
    try:
        status: int = build()(with_ids_for_arguments(sys.argv[1:] if argv is None else argv))
    except CliFailure as failure:
        tell(f"cloakroom: {failure}")
        return failure.status
    return status
