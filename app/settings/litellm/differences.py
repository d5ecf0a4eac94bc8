"""What LiteLLM's settings and paths become here: the words. ``differences.yaml`` beside it has the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

Part = Literal["model", "setting", "key", "client"]
Verdict = Literal["same", "differs", "stays", "do", "lost", "stops"]

# The worst comes last.
VERDICTS: Final[Mapping[Verdict, str]] = {
    "same": "works as with LiteLLM",
    "differs": "works, in another way; nothing has to be done",
    "stays": "is not about realtime calls: keep LiteLLM for it, if you use it",
    "do": "needs a step",
    "lost": "has no equal here",
    "stops": "is a mistake: the service does not start with it",
}
_ROWS: Final = Path(__file__).with_name("differences.yaml")


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of the check: what becomes of a place in the file, or of a path that clients use."""

    part: Part
    place: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a setting of LiteLLM's means here."""

    part: Part
    verdict: Verdict
    text: str

    def at(self, place: str, *, key: str | None = None) -> Difference:
        """The row for a place, and for a key of it."""
        return Difference(self.part, place, self.verdict, f"{key}: {self.text}" if key else self.text)


UNKNOWN: Final = Meaning(
    "setting", "do", "is not read, and this check does not know it: see whether realtime calls depend on it"
)


def meaning_of(name: str) -> Meaning:
    """What a setting of this name means here; ``UNKNOWN`` where the rows do not have it."""
    known = _meanings("settings")
    if name in known:
        return known[name]
    beginnings = [each for each in known if each.endswith("*") and name.startswith(each[:-1])]
    return known[max(beginnings, key=len)] if beginnings else UNKNOWN


def meaning_in_entry(key: str) -> Meaning | None:
    """What a key of an entry means here, such as ``litellm_params.tags``; None where it has no effect."""
    return _meanings("entries").get(key)


def client_differences() -> list[Difference]:
    """What changes for clients of LiteLLM's proxy, path by path."""
    return [Difference("client", row["place"], row["verdict"], row["text"]) for row in _rows()["clients"]]


@cache
def _meanings(section: str) -> Mapping[str, Meaning]:
    return {
        name: Meaning(row["part"], row["verdict"], row["text"])
        for row in _rows()[section]
        for name in row["names"]
    }


@cache
def _rows() -> Mapping[str, Any]:
    rows: Mapping[str, Any] = yaml.safe_load(_ROWS.read_text(encoding="utf-8"))
    return rows
