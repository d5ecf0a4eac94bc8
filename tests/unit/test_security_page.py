"""docs/security.md: each threat has an answer and a test, and each test that is named exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.support.page import ROOT

PAGE: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_THREATS: Final = "| threat | what answers it | shown by |"


def rows() -> list[list[str]]:
    """The cells of every row of the tables of threats."""
    found = []
    for table in PAGE.split(_THREATS)[1:]:
        lines = table.lstrip("\n").split("\n\n")[0].splitlines()[1:]
        found += [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return found


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize(("file", "name"), sorted(set(_TEST.findall(PAGE))))
def test_every_test_that_the_page_names_exists(file: str, name: str) -> None:
    assert name in functions_of(ROOT / file), f"docs/security.md names {file}::{name}"


def test_every_threat_has_an_answer_and_a_test() -> None:
    assert len(rows()) > 40
    for row in rows():
        assert len(row) == 3, row
        threat, answer, shown = row
        assert threat
        assert answer
        assert _TEST.findall(shown), f"no test shows: {threat}"


def test_no_threat_stands_twice() -> None:
    threats = [row[0] for row in rows()]
    assert len(set(threats)) == len(threats)


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md"])
def test_readers_are_led_to_it(page: str) -> None:
    assert "(docs/security.md)" in (ROOT / page).read_text(encoding="utf-8")


def test_the_way_to_report_is_named_on_the_page_and_asks_for_no_public_issue() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "(../SECURITY.md)" in PAGE
    assert "Report a vulnerability" in policy
    assert "Do not open an issue" in policy
