"""Client and admin keys as they are configured: ``name:key`` pairs, a key in clear or as its SHA-256."""

from __future__ import annotations

import re
from typing import Final

MAKE_KEYS: Final = "run 'cloakroom keys new' to make one"
NAME_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"

_NAME = re.compile(NAME_PATTERN + r"\Z")
_SHA256_KEY = re.compile(r"sha256:[0-9a-f]{64}\Z")
_MIN_API_KEY_CHARS: Final = 24
_MIN_DISTINCT_CHARS: Final = 8


def parse_key_pairs(text: str) -> dict[str, str]:
    """Parse ``name:key,name:key``; a key is 24 characters or more, or ``sha256:`` and 64 hex digits.

    Raises:
        ValueError: malformed, weak or a name that stands twice; the message holds no key.
    """
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        name, colon, key = entry.partition(":")
        if not colon or not _NAME.match(name):
            raise ValueError(f"entry {number} is not of the form name:key")
        if name in pairs:
            raise ValueError(f"the name {name!r} stands twice")
        try:
            check_api_key(key)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
        pairs[name] = key
    if not pairs:
        raise ValueError("no name:key pair in it")
    return pairs


def check_api_key(key: str) -> None:
    """Raise ``ValueError`` for a key that could be guessed."""
    if _SHA256_KEY.match(key):
        return
    if len(key) < _MIN_API_KEY_CHARS or len(set(key)) < _MIN_DISTINCT_CHARS:
        raise ValueError(f"the key is weak ({_MIN_API_KEY_CHARS} random characters at least); {MAKE_KEYS}")
