"""``app`` uses public names of libraries only: no attribute or import that begins with one underscore."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import app

ROOT: Final = Path(app.__file__).parent

# Documented as public in spite of their names.
DOCUMENTED: Final = frozenset({"_exit", "_replace", "_asdict", "_fields", "_make"})
BY_NAME: Final = frozenset({"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"})
# What the owner of a room still has to clear, as ``<path below app>: <use>``. Remove a line with its cause:
# the test fails on a line that fits nothing.
LEFT: Final[frozenset[str]] = frozenset()


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def defined_in(tree: ast.AST) -> frozenset[str]:
    """The private names that a module gives to its own classes and objects."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(body=body):
                # Class attributes, the fields of a dataclass among them, and __slots__.
                for line in body:
                    targets = line.targets if isinstance(line, ast.Assign) else []
                    targets += [line.target] if isinstance(line, ast.AnnAssign) else []
                    found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                found.add(name)
    return frozenset(name for name in found if is_private(name))


def uses(tree: ast.AST, *, ours: frozenset[str]) -> Iterator[str]:
    """Every use of a private name that is not the module's own.

    Args:
        ours: the private names that any module of ``app`` defines. ``self`` may have these, since a class may
            inherit them. Every other object may have those of the module itself only.
    """
    own = defined_in(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=name) if is_private(name):
                inherits = isinstance(value, ast.Name) and value.id in ("self", "cls")
                if name not in (ours if inherits else own):
                    yield f"{ast.unparse(value)}.{name}"
            case ast.Import(names=names):
                yield from (f"import {alias.name}" for alias in names if _has_private_part(alias.name))
            case ast.ImportFrom(module=str(module), level=0, names=names):
                # Between modules of ours a private module is a question of taste; elsewhere it is foreign.
                if module.partition(".")[0] != "app":
                    whole = [f"{module}.{alias.name}" for alias in names]
                    yield from (f"import {name}" for name in whole if _has_private_part(name))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments) if (
                name in BY_NAME
            ):
                for argument in arguments:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield from (
                            f"{name}({part!r})" for part in argument.value.split(".") if is_private(part)
                        )


def _has_private_part(name: str) -> bool:
    return any(is_private(part) for part in name.split("."))


def test_no_module_uses_a_private_name_of_a_library() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    ours = frozenset[str]().union(*map(defined_in, trees.values()))
    found = {
        f"{path.relative_to(ROOT)}: {use}" for path, tree in trees.items() for use in uses(tree, ours=ours)
    }
    assert found == LEFT


@pytest.mark.parametrize(
    "code",
    [
        "def f(connection): return connection._writer",
        "def f(pool): pool.manager._lock.release()",
        "class A(Connection):\n    def f(self): return self._writer.transport",
        "class A(Connection):\n    def f(self): return super()._connect()",
        "from redis._parsers.base import BaseParser",
        "from redis import _parsers",
        "import redis._parsers",
        "def f():\n    import a.b._c.d as e",
        "def f(x): return getattr(x, '_writer', None)",
        "import operator\nwriter = operator.attrgetter('connection._writer')",
        "def f(x): x._count = 1",
    ],
)
def test_a_private_name_of_a_library_is_found(code: str) -> None:
    tree = ast.parse(code)
    assert list(uses(tree, ours=defined_in(tree)))


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    def __init__(self): self._x = 1\n    def f(self, other): return other._x",
        "class A:\n    _x: int = 0\n\ndef f(a): return a._x",
        "class A:\n    def _f(self): ...\n    def g(self): self._f()",
        "import os\nos._exit(1)",
        "def f(point): return point._replace(x=1)",
        "from __future__ import annotations",
        "def f(x): return x.__class__.__name__, getattr(x, '__doc__')",
    ],
)
def test_a_module_s_own_names_and_documented_ones_are_allowed(code: str) -> None:
    tree = ast.parse(code)
    assert list(uses(tree, ours=defined_in(tree))) == []
