"""The three spellings of a path: which documented path a requested one is, and the other way round."""

from __future__ import annotations

import re

from app.web.reference.document import Document
from app.web.routes import ALIASES


def documented_path(document: Document, path: str) -> str | None:
    """The path of the document that a requested path is another spelling of, or None."""
    for template in document["paths"]:
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
        for base in ALIASES:
            spelt = pattern.replace(re.escape(ALIASES[0]), base, 1) if _has_aliases(template) else pattern
            if re.fullmatch(spelt, path):
                return str(template)
    return None


def aliases_of(template: str) -> list[str]:
    """Every spelling of a documented path."""
    if not _has_aliases(template):
        return [template]
    return [base + template.removeprefix(ALIASES[0]) for base in ALIASES]


def _has_aliases(template: str) -> bool:
    return template.startswith(ALIASES[0] + "/")
