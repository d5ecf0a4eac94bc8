"""Makes foreign text fit to be shown: masks what looks like a credential, escapes what does not show.

Credentials are masked where such text can reach an answer or a log line: a provider's error message, a
library's exception, a line of the standard library's logging. Our own lines hold no secret.

Control characters move a terminal's cursor, colour it or forge a line. Marks of direction and characters that
show nothing make a reader see another text than is there. They are escaped wherever a person may read them;
the text itself stays as it is, so that programs and filters find it again.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "[redacted]"

_CREDENTIAL = re.compile(
    r"""
    (?: \b(?:sk|ek|rk|pk|ck|ak|sess)[-_][^\s"',;&<>]{6,}           # keys of OpenAI and ours, also half masked
      | \beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,2}      # a JWT
      | \b[0-9a-fA-F]{32,}\b                                 # Azure's older keys
      | \b[A-Za-z0-9_-]{64,}\b                               # Azure's newer keys, any other long token
      | (?<=://)[^/\s]+(?=@)                                 # user and password in a URL, to the last @
      | (?i:(?<=bearer\ ))[^\s"',;]+
      | (?i:(?<=credential=")|(?<=credential":")|(?<=credential":\ "))[^"]+   # of a TURN server
    )
    """,
    re.VERBOSE,
)
_LONG_LABEL = re.compile(r"'[^'\s]{20,}'")
_BREAKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
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
# Line breaks between the parts of an indented document stay: in a JSON string there are none.
_HIDDEN_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_INVISIBLE}]")


def redact(text: str) -> str:
    """Return ``text`` with everything that looks like a credential replaced by ``MASK``."""
    return _CREDENTIAL.sub(MASK, text)


def redact_labels(text: str) -> str:
    """Redact a message that quotes the label of a secret.

    Our own labels have ten characters. A longer quoted text may be a secret that was put in the place of its
    label (``key:name`` instead of ``name:key``).
    """
    return _LONG_LABEL.sub("'...'", redact(text))


def one_safe_line(text: str, *, limit: int = 500) -> str:
    """Return ``text`` redacted, on one line, with what does not show escaped, cut to ``limit`` characters."""
    # Escaped last: an escape before a credential would hide where it begins.
    line = legible(redact(_BREAKS.sub(" ", text[: limit * 4])).strip())
    return line if len(line) <= limit else line[: limit - 1] + "…"


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


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _escaped_for_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
