"""The wheel's import name: what the build renames, what it leaves, and what it refuses to guess."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from hatch_build import Names, Unrenamable, write_package

NAMES: Final = Names(frozenset({"cli", "errors", "web"}))


@pytest.mark.parametrize(
    ("source", "renamed"),
    [
        ("from app import PACKAGE\n", "from cloakroom import PACKAGE\n"),
        ("from app.errors import InternalError\n", "from cloakroom.errors import InternalError\n"),
        ("if x:\n    from app.web import y\n", "if x:\n    from cloakroom.web import y\n"),
        ('place = "app.cli.serve:serve"\n', 'place = "cloakroom.cli.serve:serve"\n'),
        ('"""See ``app.errors``."""\n', '"""See ``cloakroom.errors``."""\n'),
        ("x = 1  # app.web has the rest\n", "x = 1  # cloakroom.web has the rest\n"),
        ('x = f"{1} app.web"\n', 'x = f"{1} cloakroom.web"\n'),
    ],
)
def test_imports_and_module_names_are_renamed(source: str, renamed: str) -> None:
    assert NAMES.renamed(source, "x.py") == renamed


@pytest.mark.parametrize(
    "source",
    [
        "from apple import x\n",
        "from x.app import y\n",
        "from . import app\n",
        "app.add_routes(1)\nrequest.app.errors\nself.app.web\n",
        'x = "https://app.example.com"\n',
        'x = "static/app.web"\n',
        'x = "my.app.web"\n',
        "application.web\n",
    ],
)
def test_anything_else_stays_as_it_is(source: str) -> None:
    assert NAMES.renamed(source, "x.py") == source


@pytest.mark.parametrize(
    "source",
    [
        "import app\n",
        "import app.errors as errors\n",
        'command = ["-m", "app", "serve"]\n',
        'say = "python -m app serve"\n',
        # A variable with a module's name behind it: text that looks like a module's name.
        "app.errors = 1\n",
        'x = f"{app.web}"\n',
    ],
)
def test_what_could_mean_either_stops_the_build(source: str) -> None:
    with pytest.raises(Unrenamable, match=r"x\.py"):
        NAMES.renamed(source, "x.py")


def test_a_package_is_copied_with_its_data_and_without_its_leavings(tmp_path: Path) -> None:
    source, target = tmp_path / "app", tmp_path / "cloakroom"
    (source / "cli" / "__pycache__").mkdir(parents=True)
    (source / "cli" / "__init__.py").write_text("from app.cli import x\n")
    (source / "cli" / "x.lua").write_bytes(b"-- app.cli\r\n\xff")
    (source / "cli" / "README.md").write_text("app.cli")
    (source / "cli" / "__pycache__" / "x.pyc").write_bytes(b"")
    write_package(source, target)
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {"cli/__init__.py", "cli/x.lua"}
    assert (target / "cli" / "__init__.py").read_text() == "from cloakroom.cli import x\n"
    # Replicas of both names share a store: a script is one script by its bytes.
    assert (target / "cli" / "x.lua").read_bytes() == b"-- app.cli\r\n\xff"
