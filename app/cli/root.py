"""The tree of commands. Each is named by its import string, so that a command loads only what it needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App

from app.cli.failure import CliFailure, usage_error
from app.cli.output import tell

_COMMANDS: Final = (
    ("serve", "app.cli.serve:serve", "Run one replica, as in production, until SIGTERM."),
    (
        "dev",
        "app.cli.dev.command:dev",
        "Run replicas, a store and a provider on this machine, to try things out.",
    ),
    (
        "doctor",
        "app.cli.doctor:doctor",
        "Check settings, store and providers, and say how to fix what is wrong.",
    ),
    ("handles list", "app.cli.handles.list:list_handles", "Which are alive, and whose they are."),
    ("handles show", "app.cli.handles.show:show_handle", "One handle's whole story, and why it fails."),
    ("handles revoke", "app.cli.handles.revoke:revoke_handles", "Stop handles at every replica, at once."),
    ("handles watch", "app.cli.handles.watch:watch_handles", "Mints, relays, expiries, failures: live."),
    ("calls list", "app.cli.calls.records:list_calls", "Which calls were made, the latest first."),
    ("calls show", "app.cli.calls.records:show_call", "One call: whose, through what, and its end."),
    (
        "calls hangup",
        "app.cli.calls.hangup:hang_up_calls",
        "End one call, or all of a client, a model, a user.",
    ),
    ("pool show", "app.cli.pool:show_pools", "Keys minted ahead, and what became of them."),
    ("config show", "app.cli.config.show:show_config", "The settings in force, secrets masked."),
    ("config check", "app.cli.config.check:check_config", "What changes for a file of LiteLLM's."),
    ("config schema", "app.cli.config.show:print_schema", "The JSON schema of the YAML file."),
    ("keys new", "app.cli.keys.new:new", "Make the secrets that a replica needs."),
    ("keys hash", "app.cli.keys.hash:hash_key", "The digest of a key, which is all that replicas need."),
    ("keys rotate", "app.cli.keys.rotate:rotate", "The next step of a rotation, from what is in force."),
    ("keys check", "app.cli.keys.check:check", "Check secrets before you use them."),
)
_GROUPS: Final = {
    "handles": "List, show, revoke and watch handles, for operators.",
    "calls": "List, show and hang up calls, for operators.",
    "pool": "Show warm pools: keys that are minted ahead.",
    "config": "Show the settings in force, masked; check a file of LiteLLM's; the schema of the file.",
    "keys": "Make, check and rotate the service's own secrets.",
}
_LEADING_HYPHEN_ID: Final = re.compile(r"-[A-Za-z0-9_-]{21}\Z")


def build(*, listing: bool = False) -> App:
    """Return the command line. A command that returns an integer sets the exit status.

    ``listing``: only list the commands, one line each; else each has its docstring as its help.
    """
    root = App(
        name="cloakroom",
        help="Ephemeral-key broker and SDP relay for realtime voice.",
        version=lambda: f"cloakroom {version('cloakroom')}",
        result_action="return_int_as_exit_code_else_zero",
        error_formatter=usage_error,
    )
    root.register_install_completion_command(help="Install completion for this shell: bash, zsh or fish.")
    groups = {"": root} | {name: App(name=name, help=text) for name, text in _GROUPS.items()}
    for words, place, text in _COMMANDS:
        group, _, name = words.rpartition(" ")
        groups[group].command(place, name=name, help=text if listing else None)
    for name in _GROUPS:
        root.command(groups[name])
    return root


def _only_lists(argv: Sequence[str]) -> bool:
    """Whether no command is chosen, so that only the list of commands can follow."""
    words = [argument for argument in argv if not argument.startswith("-")]
    return not words or (len(words) == 1 and words[0] in _GROUPS)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (see ``failure``); a wrong usage exits with 2.

    ``argv`` is without the program's name; None takes the arguments of the process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        status: int = build(listing=_only_lists(arguments))(with_ids_for_arguments(arguments))
    except CliFailure as failure:
        tell(f"cloakroom: {failure}")
        return failure.status
    return status


def with_ids_for_arguments(argv: Sequence[str]) -> list[str]:
    """Put ids that begin with a hyphen in braces, so that they are not read as options.

    One handle id in 64 begins with a hyphen.
    """
    if argv[:1] != ["handles"]:
        return list(argv)
    return [f"{{{word}}}" if _LEADING_HYPHEN_ID.match(word) else word for word in argv]
