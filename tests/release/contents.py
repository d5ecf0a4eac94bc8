"""What is in the wheel and in the sdist: the whole package under its import name, its data, and no more."""

from __future__ import annotations

import ast
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from typing import Final

from tests.release.versions import version
from tests.support.page import ROOT

SOURCE: Final = ROOT / "app"
PACKAGE: Final = "cloakroom"
EXTRAS: Final = frozenset({"embedded", "entra", "otel", "sandbox"})


def wheel_problems(wheel: Path) -> Iterator[str]:
    """A line for each thing that is wrong with a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = f"{PACKAGE}-{version()}.dist-info"
        yield from _top_level_problems(names, {PACKAGE, info})
        yield from _file_problems(archive, names)
        yield from _metadata_problems(archive.read(f"{info}/METADATA"))
        if archive.read(f"{info}/entry_points.txt").split() != _ENTRY_POINTS:
            yield f"entry points: {archive.read(f'{info}/entry_points.txt')!r}"


_ENTRY_POINTS: Final = [b"[console_scripts]", b"cloakroom", b"=", b"cloakroom.__main__:main"]


def _top_level_problems(names: set[str], expected: set[str]) -> Iterator[str]:
    if unexpected := {name.partition("/")[0] for name in names} - expected:
        yield f"the wheel installs {', '.join(sorted(unexpected))}"


def _file_problems(archive: zipfile.ZipFile, names: set[str]) -> Iterator[str]:
    here = {
        f"{PACKAGE}/{path.relative_to(SOURCE).as_posix()}": path
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".md")
    }
    packed = {name for name in names if name.startswith(f"{PACKAGE}/")}
    yield from (f"missing: {name}" for name in sorted(here.keys() - packed))
    yield from (f"not in the repository: {name}" for name in sorted(packed - here.keys()))
    for name in sorted(here.keys() & packed):
        content, path = archive.read(name), here[name]
        if path.suffix != ".py":
            if content != path.read_bytes():
                yield f"changed: {name}"
            continue
        yield from (f"{name}: imports {found}" for found in _imports_of_app(content))
        # Tracebacks and reports name lines.
        if content.count(b"\n") != path.read_bytes().count(b"\n"):
            yield f"{name}: its lines have moved"


def _imports_of_app(module: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(module)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        yield from (name for name in names if name.partition(".")[0] == "app")


def _metadata_problems(text: bytes) -> Iterator[str]:
    metadata = message_from_bytes(text)
    expected = {
        "Name": "cloakroom",
        "Version": version(),
        "License-Expression": "MIT",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
        "Description-Content-Type": "text/markdown",
    }
    yield from (
        f"metadata: {name} is {metadata[name]!r}"
        for name, value in expected.items()
        if metadata[name] != value
    )
    missing = EXTRAS - set(metadata.get_all("Provides-Extra", []))
    yield from (f"metadata: there is no extra {extra}" for extra in sorted(missing))


def sdist_problems(sdist: Path) -> Iterator[str]:
    """A line for each thing that is wrong with an sdist: a wheel can be built of it, and no more is in it."""
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    root = f"{PACKAGE}-{version()}"
    names = {str(PurePosixPath(member.name).relative_to(root)) for member in members if member.isfile()}
    whole = {"pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO"}
    yield from (f"missing: {name}" for name in sorted(whole - names))
    yield from (
        f"unexpected: {name}"
        for name in sorted(names - whole)
        if not name.startswith("app/") and name != ".gitignore"
    )
    yield from (
        f"not a plain file: {member.name}" for member in members if not (member.isfile() or member.isdir())
    )
