"""Reads the pages of documents as their readers do: what stands in a block is there to be run."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SHELL: Final = ("sh", "bash")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$")
_COMMENT: Final = re.compile(r"^<!-- (.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    ``marker`` is the HTML comment in the line above it, which readers do not see; None without one.
    """

    page: str
    line: int
    heading: str
    language: str
    marker: str | None
    text: str

    @property
    def why_not(self) -> str | None:
        """Why no test runs it; None where one does."""
        if self.marker is None or not self.marker.startswith("not run: "):
            return None
        return self.marker.removeprefix("not run: ")

    @property
    def stays(self) -> bool:
        """Whether it is a server, which runs while the reader goes on in another terminal."""
        return self.marker == "stays"


def blocks(page: str, languages: Collection[str] = SHELL) -> list[Block]:
    """The fenced blocks of these languages, in the page's order.

    Args:
        page: its path from the repository's root.
    """
    found: list[Block] = []
    heading, marker, start, language = "", None, 0, ""
    text: list[str] = []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```") and not start:
            start, language, text = number, line.removeprefix("```").strip() or "text", []
        elif line.startswith("```"):
            if language in languages:
                found.append(Block(page, start, heading, language, marker, "\n".join(text) + "\n"))
            start, marker = 0, None
        elif start:
            text.append(line)
        else:
            comment = _COMMENT.match(line)
            marker = comment[1] if comment else None
            if match := _HEADING.match(line):
                heading = match[1]
    assert not start, f"{page}: the block of line {start} has no end"
    return found


def shell_blocks(page: str) -> dict[str, str]:
    """The ``sh`` blocks of a page by the heading that they stand under, those of one heading joined.

    Args:
        page: its path from the repository's root.
    """
    found: dict[str, str] = {}
    heading, inside = "", ""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = "" if inside else line.removeprefix("```") or "text"
        elif inside == "sh":
            found[heading] = found.get(heading, "") + line + "\n"
        elif not inside and (match := _HEADING.match(line)):
            heading = match[1]
    return found
