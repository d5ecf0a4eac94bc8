"""Providers' answers, one file each: ``<provider>/<endpoint>-<status>[-<case>].<json|sdp|html|txt>``.

A file holds the body as it goes over the wire; ``headers.json`` beside it holds the headers of each. Shapes,
codes and headers are those of the contracts, and of the sources that the dialects name; every key and id in
them is made up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from multidict import CIMultiDict

from app.providers.base import UpstreamResponse

_FOLDER: Final = Path(__file__).parent
_BODIES: Final = frozenset({".json", ".sdp", ".html", ".txt"})
_HEADERS: Final = "headers.json"

# What the samples quote of credentials, whole or half masked: never to be seen by a caller.
QUOTED: Final = (
    "ek_68af296e8e408191a1120ab6383263c2",
    "ek_az_3f9c51d07be24a6c8d1e90b7",
    "sk-proj-",
    "4f2a",
)


@dataclass(frozen=True)
class Sample:
    """One answer. ``name`` is ``<provider>/<endpoint>-<status>[-<case>]``."""

    name: str
    provider: str
    endpoint: str
    response: UpstreamResponse


def load(name: str) -> Sample:
    """Read one sample by its name."""
    provider, _, stem = name.partition("/")
    (path,) = (found for found in (_FOLDER / provider).glob(f"{stem}.*") if found.suffix in _BODIES)
    endpoint, status, *_ = stem.split("-")
    headers = json.loads((_FOLDER / provider / _HEADERS).read_text(encoding="utf-8"))[stem]
    response = UpstreamResponse(status=int(status), headers=CIMultiDict(headers), body=path.read_bytes())
    return Sample(name=name, provider=provider, endpoint=endpoint, response=response)


def names(*providers: str) -> list[str]:
    """Every sample of these providers."""
    return sorted(
        f"{path.parent.name}/{path.stem}"
        for provider in providers
        for path in (_FOLDER / provider).glob("*")
        if path.suffix in _BODIES and path.name != _HEADERS
    )
