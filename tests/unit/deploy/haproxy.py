"""Reads deploy/haproxy/haproxy.cfg into sections of directives."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Final

from tests.support.compose import ROOT

FOLDER: Final = ROOT / "deploy" / "haproxy"
SECTIONS: Final = ("global", "defaults", "frontend", "backend", "resolvers")

Directives = list[list[str]]


def read_haproxy(path: Path = FOLDER / "haproxy.cfg") -> dict[str, Directives]:
    """Directives as words by section, a section named as in the file ("backend ready")."""
    sections: dict[str, Directives] = {}
    current: Directives = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] in SECTIONS and not line[0].isspace():
            current = sections.setdefault(" ".join(words), [])
        else:
            current.append(words)
    return sections


def first(section: Directives, *start: str) -> list[str]:
    """The words after ``start`` of the one directive that begins so."""
    found = [words for words in section if words[: len(start)] == list(start)]
    assert len(found) == 1, (start, found)
    return found[0][len(start) :]


def after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def duration(text: str) -> float:
    """Seconds."""
    match = re.fullmatch(r"(\d+)(ms|s)", text)
    assert match, text
    return int(match[1]) / (1000 if match[2] == "ms" else 1)


def own_answers() -> dict[int, dict[str, Any]]:
    """The ``error`` object of every answer that HAProxy makes by itself, by status."""
    answers = {}
    for words in read_haproxy()["defaults"]:
        if words[:2] == ["http-error", "status"]:
            answers[int(words[2])] = json.loads(after(words, "string"))["error"]
        elif words[0] == "errorfile":
            _, _, body = (FOLDER / words[2]).read_text(encoding="utf-8").partition("\n\n")
            answers[int(words[1])] = json.loads(body)["error"]
    return answers
