"""The page's files, read once at the start: nothing that a request names is ever looked up on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served. ``etag`` is a strong tag: it changes with any byte."""

    body: bytes
    content_type: str
    etag: str


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
        body = entry.read_bytes()
        found[entry.name] = Asset(body, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])
    return found
