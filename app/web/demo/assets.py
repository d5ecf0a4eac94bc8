"""The page's files, read once at the start: nothing that a request names is ever looked up on disk."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from app.web.asset import Asset

PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def load_assets() -> Mapping[str, Asset]:
    """Return every file of ``static/`` by its name.

    Raises:
        ValueError: a file of a kind that the page does not know, so one that was put there by mistake.
    """
    found = {}
    for entry in files(__package__).joinpath("static").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix not in _TYPES:
            raise ValueError(f"{entry.name}: the demo page serves {', '.join(_TYPES)} only")
        found[entry.name] = Asset.of(entry.read_bytes(), _TYPES[suffix])
    return found
