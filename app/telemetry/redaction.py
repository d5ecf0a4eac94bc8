"""Masks everything that looks like a credential in foreign text.

It is used where such text can reach an answer or a log line: a provider's error message, a library's
exception, a line of the standard library's logging. Our own lines hold no secret.
"""

from __future__ import annotations

import re
from typing import Final

from app.telemetry.legible import legible

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
