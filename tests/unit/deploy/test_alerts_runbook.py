"""The runbook has a page for each alert and each error code, and sends nobody to what is not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from typing import Final

import pytest

from app.errors import CloakroomError
from app.settings.load import known_environment_names
from app.store.acl import OPERATOR
from tests.support.page import ROOT
from tests.unit.deploy.alert_rules import alerts

RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
_SECTION: Final = re.compile(r"^### (\S+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS: Final = dict(_SECTION.findall(RUNBOOK))
_LINK: Final = re.compile(r"\]\(([\w.-]*)(?:#([\w-]+))?\)")
_CODE: Final = re.compile(r"`([^`]+)`")


def codes() -> set[str]:
    def below(error: type[CloakroomError]) -> set[str]:
        return {error.code}.union(*(below(child) for child in error.__subclasses__()))

    return below(CloakroomError)


def test_every_alert_and_every_error_code_has_its_page_and_no_page_is_left_over() -> None:
    assert SECTIONS.keys() == alerts().keys() | codes()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    words = re.findall(r"\*\*(\w+)\.\*\*", SECTIONS[name])
    assert words == ["Means", "Look", "Do"]
    looked_at = SECTIONS[name].partition("**Look.**")[2].partition("**Do.**")[0]
    assert len(looked_at.split()) >= 2


def test_every_link_leads_somewhere() -> None:
    for page, anchor in _LINK.findall(RUNBOOK):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8") if page else RUNBOOK
        anchors = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        assert not anchor or anchor in anchors, (page, anchor)


def commands(program: str) -> list[str]:
    """The pieces of code that begin with this program."""
    joined = " ".join(RUNBOOK.split())
    return sorted({code for code in _CODE.findall(joined) if code.startswith(f"{program} ")})


def test_redis_cli_is_asked_for_what_the_operators_user_may() -> None:
    asked = {code.split()[1].lower() for code in commands("redis-cli")}
    assert len(asked) >= 6
    assert asked <= {*OPERATOR}, asked - {*OPERATOR}


@cache
def help_of(*command: str) -> str:
    arguments = [sys.executable, "-m", "app", *command, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("line", commands("cloakroom"))
def test_the_command_line_has_every_command_and_option_that_the_runbook_names(line: str) -> None:
    words = line.split()[1:]
    command = [word for word in words if word.isascii() and word.islower() and not word.startswith("-")]
    shown = help_of(*command)
    # A word that is no command leaves the help of what stands above it.
    assert re.match(rf"Usage: cloakroom {' '.join(command)}\s", shown), line
    for option in (word for word in words if word.startswith("--")):
        assert f"{option} " in shown, (line, option)


def test_every_setting_that_the_runbook_names_exists() -> None:
    named = set(re.findall(r"\bCLOAKROOM_[A-Z_]+", RUNBOOK))
    # Of the command line, not of the service.
    assert named - known_environment_names() <= {"CLOAKROOM_ADMIN_URL", "CLOAKROOM_ADMIN_KEY"}


def test_every_panel_that_the_runbook_names_is_on_the_dashboard() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "cloakroom.json").read_text(encoding="utf-8"))
    titles = [one["title"].partition(",")[0] for one in dashboard["panels"]]
    named = re.findall(r'"([A-Z][^"]+)"', " ".join(RUNBOOK.split()))
    assert len(named) >= 10
    assert set(named) <= set(titles)
