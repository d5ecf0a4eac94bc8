"""The three spellings of a path: which documented path a requested one is, and the other way round."""

from __future__ import annotations

import functools
import re

from app.web.reference.document import Document
from app.web.routes import ALIASES


def documented_path(document: Document, path: str) -> str | None:
    """The path of the document that a requested path is another spelling of, or None."""
    for template, spellings in _patterns(tuple(document["paths"])):
        if spellings.fullmatch(path):
            return template
    return None


# Every answer of a test is looked up.
@functools.cache
def _patterns(templates: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    return [
        (
            template,
            re.compile("|".join(_pattern(spelling) for spelling in aliases_of(template))),
        )
        for template in templates
    ]


def _pattern(spelling: str) -> str:
    return re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(spelling))


def aliases_of(template: str) -> list[str]:
    """Every spelling of a documented path."""
    if not template.startswith(ALIASES[0] + "/"):
        return [template]
    return [base + template.removeprefix(ALIASES[0]) for base in ALIASES]
