"""What a target is, and where its corpus lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).with_name("corpus")
# A credential of the inputs: no message, no repr and no text for a log may hold it.
PLANTED: Final = "sk-proj-Fuzz7Qz4YtWmP1nXcVbKjHgFdSaRe98"


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    ``check`` raises for an input that shows a defect, and for no other. ``share`` is the target's part of all
    runs. ``words`` are what an input is often made of.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    share: float
    words: tuple[bytes, ...] = ()
    longest: int = 4096

    def corpus(self) -> list[bytes]:
        """The seeds, and what long runs found that reaches further."""
        kept = CORPUS / f"{self.name}.txt"
        found = read_corpus(kept.read_text(encoding="ascii")) if kept.exists() else []
        return list(dict.fromkeys([*self.seeds, *found]))


def read_corpus(text: str) -> list[bytes]:
    """The inputs of a corpus file: one a line, with Python's escapes, so that a diff can be read."""
    return [line.encode("ascii").decode("unicode_escape").encode("latin-1") for line in text.splitlines()]


def written_corpus(inputs: Iterable[bytes]) -> str:
    """The text of a corpus file; the order is the content's, so that a run changes few lines."""
    lines = {one.decode("latin-1").encode("unicode_escape").decode("ascii") for one in inputs}
    return "".join(f"{line}\n" for line in sorted(lines))


def name_of(data: bytes) -> str:
    """A file's name for an input."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def kind_and_rest(data: bytes, kinds: str) -> tuple[str, bytes]:
    """The first byte chooses what the rest is, by its letter in ``kinds``, or by its number."""
    first = chr(data[0]) if data else kinds[0]
    return (first if first in kinds else kinds[ord(first) % len(kinds)]), data[1:]


def without_secrets(*shown: object) -> None:
    """Fail if a text that people see has the planted credential."""
    for text in map(str, shown):
        assert PLANTED not in text, f"a credential is shown: {text!r}"
