"""SDP offers for tests that need no media: browser-grade text, each one different from the last."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from importlib.resources import files
from typing import Final

BROWSER_OFFER: Final = (files("app.sandbox") / "offer.sdp").read_bytes()
_numbers = itertools.count(1)
_LINE: Final = b"a=fingerprint:"
# The certificate of its sender, as SDP names it.
BROWSER_CERTIFICATE: Final = BROWSER_OFFER.partition(_LINE)[2].partition(b"\r\n")[0].decode()


def fresh_offer() -> bytes:
    """A valid offer with an origin line that no other offer has, so that its SHA-256 is new."""
    return offer_of(int(f"{secrets.randbits(62)}{next(_numbers):04d}"))


def offer_of(session_id: int) -> bytes:
    """A valid offer with this number in its origin line."""
    first, _, rest = BROWSER_OFFER.partition(b"\r\no=")
    _, _, after = rest.partition(b"\r\n")
    return first + b"\r\no=- %d 2 IN IP4 127.0.0.1\r\n" % session_id + after


def certificate(number: int) -> str:
    """The fingerprint of a certificate that no other number has."""
    digits = hashlib.sha256(b"%d" % number).hexdigest().upper()
    return "sha-256 " + ":".join(digits[at : at + 2] for at in range(0, 64, 2))


def offer_with(fingerprint: str, *more: str) -> bytes:
    """A fresh offer with this certificate in each section, and with ``more`` beside it."""
    lines = "".join(f"a=fingerprint:{one}\r\n" for one in (fingerprint, *more)).encode()
    return fresh_offer().replace(_LINE + BROWSER_CERTIFICATE.encode() + b"\r\n", lines)
