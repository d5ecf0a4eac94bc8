"""Characters that move a cursor, turn the direction of text, or show nothing, one of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HIDDEN: Final = {
    "ESC": "\x1b",
    "NUL": "\x00",
    "BEL": "\x07",
    "backspace": "\x08",
    "tab": "\t",
    "LF": "\n",
    "CR": "\r",
    "DEL": "\x7f",
    "C1 NEL": "\x85",
    "C1 CSI": "\x9b",
    "C1 OSC": "\x9d",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "left-to-right isolate": "\u2066",
    "pop directional isolate": "\u2069",
    "Arabic letter mark": "\u061c",
    "right-to-left mark": "\u200f",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Mongolian vowel separator": "\u180e",
    "Hangul filler": "\u3164",
    "Braille blank": "\u2800",
    "variation selector": "\ufe0f",
    "variation selector 256": "\U000e01ef",
    "tag A": "\U000e0041",
    "cancel tag": "\U000e007f",
}


def spiked(name: str) -> str:
    """The name with all of them in it, and with what a terminal would do with some."""
    return f"{name}\x1b[31m\x1b]0;title\x07\r\n" + "".join(HIDDEN.values()) + "end"


def found_in(text: str, *, allowed: Iterable[str] = ("\n",)) -> list[str]:
    """The names of those that are there as they are."""
    return [name for name, character in HIDDEN.items() if character in text and character not in allowed]
