"""Shows text from elsewhere so that its reader sees what is there: whatever would not show is escaped.

Control characters move a terminal's cursor, colour it or forge a line. Marks of direction and characters that
show nothing make a reader see another text than is there. The text itself stays as it is, so that programs
and filters find it again; this is for the moment at which a person may see it.
"""

from __future__ import annotations

import re
from typing import Final

# Letters by Unicode's categories, which ``str.isprintable`` lets pass, and which show nothing: what Unicode
# calls default ignorable, and the blanks of Hangul and Braille.
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Control characters (C0, DEL, C1), halves of a character, and what shows nothing.
_HIDDEN: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_INVISIBLE}]")
# In JSON as orjson writes it, C0 is escaped already but for DEL.
_DEL: Final = b"\x7f"


def legible(text: str) -> str:
    r"""``text`` with ``\u202e`` in place of a character that does not show."""
    # Most text is plain, and this is quicker than looking for each character.
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(_escaped, text)


def legible_json(document: bytes) -> bytes:
    """A JSON document that means the same, in which such characters are escaped as JSON escapes them."""
    if document.isascii() and _DEL not in document:
        return document
    return _HIDDEN_IN_JSON.sub(_escaped_for_json, document.decode()).encode()


# Line breaks between the parts of an indented document stay: in a JSON string there are none.
_HIDDEN_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_INVISIBLE}]")


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _escaped_for_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
