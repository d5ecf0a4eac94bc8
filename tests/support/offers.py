"""SDP offers for tests that need no media: browser-grade text, each one different from the last."""

from __future__ import annotations

import itertools
import secrets
from importlib.resources import files
from typing import Final

BROWSER_OFFER: Final = (files("app.sandbox") / "offer.sdp").read_bytes()
_numbers = itertools.count(1)


def fresh_offer() -> bytes:
    """A valid offer with an origin line that no other offer has, so that its SHA-256 is new."""
    return offer_of(int(f"{secrets.randbits(62)}{next(_numbers):04d}"))


def offer_of(session_id: int) -> bytes:
    """A valid offer with this number in its origin line."""
    first, _, rest = BROWSER_OFFER.partition(b"\r\no=")
    _, _, after = rest.partition(b"\r\n")
    return first + b"\r\no=- %d 2 IN IP4 127.0.0.1\r\n" % session_id + after
