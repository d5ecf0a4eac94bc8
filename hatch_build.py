"""Builds the wheel: the code of ``app`` under the import name ``cloakroom``.

``app`` is this repository's layout, and many services have a package of that name. Hatchling calls the hook
below for every build. Of an editable install it makes ``app``, and a ``cloakroom`` that leads there.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE: Final = "app"
PACKAGE: Final = "cloakroom"
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.pyc", "*.md")
_EDITABLE: Final = {
    "__init__.py": f'"""An editable install: the code is in ``{SOURCE}``."""\n',
    "__main__.py": (
        f'"""``python -m {PACKAGE}`` and the console script."""\n\n'
        f"from {SOURCE}.__main__ import main\n\n"
        'if __name__ == "__main__":\n    main()\n'
    ),
}


class Unrenamable(ValueError):
    """A module names the package in a way that the build does not follow. The message says where."""


class Names:
    """Finds the package's name in its sources.

    Args:
        modules: the names of what is directly in the package.
    """

    def __init__(self, modules: frozenset[str]) -> None:
        one_of = "|".join(sorted(map(re.escape, modules)))
        self._found = re.compile(
            # An import statement, or a module's whole name in a text or a comment.
            rf"(?m:^(?P<before>[ \t]*from )){SOURCE}(?=[ .])|(?<![\w./-]){SOURCE}(?=\.(?:{one_of})\b)"
        )

    def renamed(self, source: str, where: str) -> str:
        """The module's source with the other name; no line moves.

        Raises:
            Unrenamable: the result would be another program, or the name stands where it cannot be found.
        """
        result = self._in_text(source)
        before = ast.parse(source)
        for node in ast.walk(before):
            if line := _unfollowed(node):
                raise Unrenamable(f"{where}:{line}: write 'from {SOURCE} import ...', or use __package__")
        if ast.dump(_Renamer(self._in_text).visit(before)) != ast.dump(ast.parse(result)):
            raise Unrenamable(f"{where}: '{SOURCE}' is the name of a variable here; choose another")
        return result

    def _in_text(self, text: str) -> str:
        return self._found.sub(lambda match: f"{match['before'] or ''}{PACKAGE}", text)


class _Renamer(ast.NodeTransformer):
    """What the renamed source must mean: other imports, other texts, and nothing else."""

    def __init__(self, in_text: Any) -> None:
        self._in_text = in_text

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0 and node.module is not None and _is_ours(node.module):
            node.module = PACKAGE + node.module.removeprefix(SOURCE)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            node.value = self._in_text(node.value)
        return node


def _is_ours(module: str) -> bool:
    return module == SOURCE or module.startswith(f"{SOURCE}.")


def _unfollowed(node: ast.AST) -> int | None:
    """The line of a statement or a text that names the package and is not renamed; None for all else."""
    if isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names):
        return node.lineno
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        alone = node.value == SOURCE or re.search(rf"-m {SOURCE}(?![\w.])", node.value)
        return node.lineno if alone else None
    return None


def write_package(source: Path, target: Path) -> None:
    """Copy the package ``source`` to ``target`` under the other name.

    Raises:
        Unrenamable
    """
    shutil.copytree(source, target, ignore=_LEFT_OUT)
    names = Names(frozenset(path.stem for path in source.iterdir() if not path.name.startswith((".", "__"))))
    for module in sorted(target.rglob("*.py")):
        text = module.read_text(encoding="utf-8")
        module.write_text(names.renamed(text, str(module.relative_to(target))), encoding="utf-8")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is a class of Hatchling's own
    """Hatchling looks for this name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write what goes into the wheel, and tell Hatchling where it is."""
        self._folder = Path(tempfile.mkdtemp(prefix="cloakroom-wheel-"))
        target = self._folder / PACKAGE
        if version == "editable":
            target.mkdir()
            for name, text in _EDITABLE.items():
                (target / name).write_text(text, encoding="utf-8")
            build_data["force_include_editable"][str(target)] = PACKAGE
        else:
            write_package(Path(self.root) / SOURCE, target)
            build_data["force_include"][str(target)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove it again."""
        shutil.rmtree(self._folder)
