"""Lays out the repository's documents as a site: ``python website/stage.py BUILD``.

On GitHub the pages stand where they are, and a link such as ``../tests/bench/floor.py`` or
``docs/errors.md`` leads into the repository. In the site README is the first page, ``docs/`` is the root, and
a file of the repository that a page links to comes along under ``source/``. So a link works in both places,
and the site needs no address of a repository. The menu is README's list of documents.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

WEBSITE: Final = Path(__file__).resolve().parent
ROOT: Final = WEBSITE.parent
DOCS: Final = "docs"
# Pages that stand beside docs/, by their place in the repository.
BESIDE: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
_SOURCE: Final = "source"
_CONFIG: Final = "mkdocs.yml"
_LIST: Final = re.compile(r"^## Documents\n(.*?)(?=^## |^`make docs`|\Z)", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"^- \*\*(.+?)\*\*:(.*?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
# What tests read above a block of commands (tests/support/page.py).
_MARKER: Final = re.compile(r"^<!-- (?:not run: .*|stays) -->$")
_FENCE: Final = re.compile(r"^(```|~~~)")
_LINK: Final = re.compile(r"(?P<before>\]\()(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")
_CODE: Final = re.compile(r"`[^`]*`")
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:|/")


class StageError(Exception):
    """A page links to a file that is not there."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the site: where it stands in the repository, and where in the site."""

    source: PurePosixPath
    target: PurePosixPath


def pages() -> list[Page]:
    """Every page of the site."""
    beside = [
        Page(PurePosixPath(source), PurePosixPath(target))
        for source, target in BESIDE.items()
        if (ROOT / source).is_file()
    ]
    inside = [
        Page(PurePosixPath(DOCS, path.name), PurePosixPath(path.name))
        for path in sorted((ROOT / DOCS).glob("*.md"))
    ]
    return [*beside, *inside]


def menu() -> dict[str, list[str]]:
    """The pages of each section, as README lists them; the first section begins with README itself.

    Raises:
        StageError: a page is not on README's list.
    """
    places = {str(page.source): str(page.target) for page in pages()}
    listed = _LIST.search((ROOT / "README.md").read_text(encoding="utf-8"))
    sections = {
        name: [places[link["path"]] for link in _LINK.finditer(text) if link["path"] in places]
        for name, text in _SECTION.findall(listed[1] if listed else "")
    }
    for first in list(sections)[:1]:
        sections[first].insert(0, places["README.md"])
    missing = sorted(set(places.values()) - {page for section in sections.values() for page in section})
    if missing:
        raise StageError(f"not on README's list of documents: {', '.join(missing)}")
    return sections


def stage(build: Path) -> None:
    """Write the site's configuration and source into ``build``; what was there of the source goes.

    Raises:
        StageError: one line for each link that leads nowhere, or a page is not on README's list.
    """
    target = build / "site-source"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    lines = [(WEBSITE / _CONFIG).read_text(encoding="utf-8"), "nav:\n"]
    for name, section in menu().items():
        lines += [f"  - {name}:\n", *(f"      - {page}\n" for page in section)]
    (build / _CONFIG).write_text("".join(lines), encoding="utf-8")
    shutil.copytree(WEBSITE / "assets", target / "assets")
    _write_pages(target)


def _write_pages(target: Path) -> None:
    places = {page.source: page.target for page in pages()}
    needed: set[PurePosixPath] = set()
    problems: list[str] = []
    for page in pages():
        lines = (ROOT / page.source).read_text(encoding="utf-8").splitlines(keepends=True)
        text = "".join(_rewritten(page, lines, places, needed, problems))
        (target / page.target).write_text(text, encoding="utf-8")
    if problems:
        raise StageError("\n".join(problems))
    for path in sorted(needed):
        copy = target / _copied(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)


def _rewritten(
    page: Page,
    lines: list[str],
    places: Mapping[PurePosixPath, PurePosixPath],
    needed: set[PurePosixPath],
    problems: list[str],
) -> Iterator[str]:
    fenced = False
    for number, line in enumerate(lines, start=1):
        if _FENCE.match(line):
            fenced = not fenced
        if fenced or "](" not in line:
            if fenced or not _MARKER.match(line):
                yield line
            continue
        # Code is shown as it stands; it is taken out, and put back afterwards.
        spans = _CODE.findall(line)
        kept = _CODE.sub("\0", line)

        def moved(link: re.Match[str], number: int = number) -> str:
            path = link["path"]
            if _ELSEWHERE.match(path):
                return link[0]
            found = _resolve(page.source.parent, path)
            if found is None or not (ROOT / found).is_file():
                problems.append(f"{page.source}:{number}: {path} is not in the repository")
                return link[0]
            if found not in places:
                needed.add(found)
            there = places.get(found) or _copied(found)
            return f"{link['before']}{there}{link['anchor'] or ''}{link['after']}"

        first, *others = _LINK.sub(moved, kept).split("\0")
        yield first + "".join(span + rest for span, rest in zip(spans, others, strict=True))


def _resolve(folder: PurePosixPath, path: str) -> PurePosixPath | None:
    """The path from the repository's root; None where it leaves the repository."""
    parts: list[str] = list(folder.parts)
    for part in PurePosixPath(path).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return PurePosixPath(*parts)


def _copied(path: PurePosixPath) -> PurePosixPath:
    """Where a file that is no page comes to stand: what docs/ has keeps its place."""
    return path.relative_to(DOCS) if path.parts[0] == DOCS else PurePosixPath(_SOURCE) / path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python website/stage.py BUILD", file=sys.stderr)
        sys.exit(2)
    try:
        stage(Path(sys.argv[1]))
    except StageError as error:
        sys.exit(str(error))
