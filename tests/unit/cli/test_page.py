"""The page about the command line has every command, every option's name is real, and every exit status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.cli import failure
from app.cli.root import build

PAGE = (Path(__file__).parents[3] / "docs/command-line.md").read_text(encoding="utf-8")
COMMANDS = [
    "serve",
    *("handles list", "handles show", "handles revoke", "handles watch"),
    *(
        "calls list",
        "calls show",
        "calls hangup",
        "pool show",
        "config show",
        "config check",
        "config schema",
    ),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_has_every_command(command: str) -> None:
    assert f"cloakroom {command}" in PAGE or f"`{command}`" in PAGE
    assert re.search(rf"^## .*{command}", PAGE, re.MULTILINE)


def test_the_page_has_every_exit_status() -> None:
    statuses = [value for name, value in vars(failure).items() if name.startswith("EXIT_")]
    assert len(statuses) == 5
    for status in statuses:
        assert f"\n| {status} |" in PAGE


def test_every_option_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = "--install-completion "
    for command in [*COMMANDS, "doctor", "keys new", "keys hash", "keys rotate"]:
        assert build()([*command.split(), "--help"]) == 0
        known += capsys.readouterr().out
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert len(named) > 15
    assert {name for name in named if f"{name} " not in known} == set()
