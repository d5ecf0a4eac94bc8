"""The guide to the house: what it names exists, its two ways are short, and the house keeps its measures."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import app

ROOT: Final = Path(app.__file__).parent
GUIDE: Final = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES: Final = sorted(ROOT.rglob("*.py"))

# `app/web/gate.py: gate` in a list of stops, `app/errors.py` or `tests/web/` anywhere.
_STOP: Final = re.compile(r"^\d+\. `(?P<path>[\w/.]+): (?P<name>[\w.]+)`", re.MULTILINE)
_PATH: Final = re.compile(r"`((?:app|tests|docs|deploy)/[\w/.-]*)(?:: ([\w.]+))?`")


@cache
def _defined(path: Path) -> frozenset[str]:
    """``Class``, ``Class.method`` and ``function`` of a module."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {node.name} | {
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", GUIDE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_file_that_the_guide_names_exists() -> None:
    named = {path for path, _ in _PATH.findall(GUIDE)}
    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT.parent / path).exists()] == []


def test_every_function_that_the_guide_names_exists() -> None:
    named = [(path, name) for path, name in _PATH.findall(GUIDE) if name]
    assert len(named) > 25
    assert [f"{path}: {name}" for path, name in named if name not in _defined(ROOT.parent / path)] == []


@pytest.mark.parametrize("way", ["The way of a mint", "The way of a relay"])
def test_a_way_has_at_most_fifteen_stops_and_visits_none_twice(way: str) -> None:
    stops = [match.groups() for match in _STOP.finditer(_sections()[way])]
    assert 8 <= len(stops) <= 15
    assert [stop for stop, times in Counter(stops).items() if times > 1] == []


def test_the_table_and_the_recipes_are_there() -> None:
    sections = _sections()
    rows = [line for line in sections["Where does a line go?"].splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    assert len(re.findall(r"^### ", sections["Recipes"], re.MULTILINE)) >= 5


def test_every_package_says_what_belongs_in_it_and_what_does_not() -> None:
    for face in ROOT.rglob("__init__.py"):
        told = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
        assert len(re.findall(r"[.!](?:\s|$)", told)) >= 2 or face.parent == ROOT, face


def test_no_module_is_long_no_folder_is_full_and_few_are_flat() -> None:
    assert [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
    assert {
        folder for folder, count in Counter(path.parent for path in MODULES).items() if count > 14
    } == set()
    assert len([path for path in ROOT.glob("*.py") if path.name != "__init__.py"]) <= 6
