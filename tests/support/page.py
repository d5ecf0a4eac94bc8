"""Reads the pages under docs/ as their readers do: what stands in a shell block is there to be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_HEADING: Final = re.compile(r"^#{1,6} (.+)$")


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
