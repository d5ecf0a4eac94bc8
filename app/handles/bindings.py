"""What binds a handle to its bearer: a page's origin, and the certificate of its DTLS connection. Pure.

All texts that leave this module have one form, so that equal things are equal texts: an origin in lower case
without its scheme's usual port, a fingerprint as ``sha-256 AB:CD``, several in order with ``, `` between.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.errors import InvalidRequest
from app.models import Binding

# A browser names one fingerprint; other peers name one for each hash function of RFC 8122.
MOST_FINGERPRINTS: Final = 4
# The hash functions of RFC 8122 that no one can forge a certificate for, with their bytes.
_HASHES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_BETWEEN: Final = ", "

_ATTRIBUTE: Final = "a=fingerprint:"
_LINE: Final = f"\n{_ATTRIBUTE}"
_LINE_BYTES: Final = _LINE.encode()
_WORD: Final = "fingerprint"

# RFC 6454. The schemes are not only those of the web: pages of apps have capacitor:// and the like.
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]{0,31})://((?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)
_USUAL_PORTS: Final = frozenset({("https", ":443"), ("http", ":80")})
_LONGEST_ORIGIN: Final = 255
_PARTS: Final = frozenset({"origin", "fingerprint"})


def parse_binding(value: Any, *, usual_origin: str = "") -> Binding:
    """Read the field ``bind`` of a mint.

    ``usual_origin`` is bound where ``bind.origin`` is left out; "" for none. ``null`` binds to no origin.

    Raises:
        InvalidRequest: with ``param`` naming the field.
    """
    if value is None:
        return Binding(usual_origin)
    if not isinstance(value, dict):
        raise InvalidRequest("'bind' must be {origin, fingerprint}.", param="bind")
    for name in value:
        if name not in _PARTS:
            raise InvalidRequest(
                "Unknown field. 'bind' takes origin and fingerprint.", param=f"bind.{name[:64]}"
            )
    origin = _origin(value["origin"]) if "origin" in value else usual_origin
    return Binding(origin, _fingerprints(value.get("fingerprint")))


def shown_binding(binding: Binding) -> dict[str, Any]:
    """The field ``bind`` of a mint's answer: what the handle is bound to, each in its one form."""
    shown: dict[str, Any] = {"origin": binding.origin} if binding.origin else {}
    if binding.fingerprint:
        found = binding.fingerprint.split(_BETWEEN)
        shown["fingerprint"] = found if len(found) > 1 else found[0]
    return shown


def _origin(value: Any) -> str:
    if value is None:
        return ""
    origin = canonical_origin(value) if isinstance(value, str) else ""
    if not origin:
        raise InvalidRequest(
            "'bind.origin' must be an origin such as 'https://app.example.com', without a path, or null.",
            param="bind.origin",
        )
    return origin


def _fingerprints(value: Any) -> str:
    if value is None:
        return ""
    given = value if isinstance(value, list) else [value]
    found = {canonical_fingerprint(one) if isinstance(one, str) else "" for one in given}
    if not found or "" in found or len(given) > MOST_FINGERPRINTS:
        raise InvalidRequest(
            "'bind.fingerprint' must be a certificate's fingerprint as SDP has it, 'sha-256 AB:CD:...' (or "
            f"sha-384, sha-512), or a list of up to {MOST_FINGERPRINTS} of one certificate.",
            param="bind.fingerprint",
        )
    return _BETWEEN.join(sorted(found))


def canonical_origin(text: str) -> str:
    """The origin in its one form; "" for what is none, as ``null`` and an address with a path."""
    short = len(text) <= _LONGEST_ORIGIN and text.isascii()
    found = _ORIGIN.fullmatch(text.lower()) if short else None
    if found is None:
        return ""
    scheme, host, port = found[1], found[2], found[3] or ""
    return f"{scheme}://{host}" if (scheme, port) in _USUAL_PORTS else f"{scheme}://{host}{port}"


def canonical_fingerprint(text: str) -> str:
    """``<hash function> <hexadecimal with colons>`` in its one form; "" for what is none.

    The weak functions of RFC 8122 count as none.
    """
    name, _, digits = text.partition(" ")
    name = name.lower()
    size = _HASHES.get(name)
    # A pattern takes five times as long, and each relay comes here.
    if size is None or len(digits) != 3 * size - 1 or digits[2::3] != ":" * (size - 1):
        return ""
    try:
        # White space would make it shorter.
        right = len(bytes.fromhex(digits[0::3] + digits[1::3])) == size
    except ValueError:
        return ""
    return f"{name} {digits.upper()}" if right else ""


def first_fingerprint(sdp: bytes) -> str:
    """The first fingerprint of an offer, by which its sender is known again; "" where it cannot be read."""
    at = sdp.find(_LINE_BYTES)
    if at < 0:
        return ""
    end = sdp.find(b"\n", at + 1)
    # Only this line is decoded: each relay comes here.
    line = sdp[at + 1 :] if end < 0 else sdp[at + 1 : end]
    return canonical_fingerprint(_value(line.decode("utf-8", "replace")))


def fingerprints_of(offer: bytes) -> str:
    """Return the fingerprints that an offer carries, at session level and in every media section.

    "" where one of them cannot be read, and where there are too many or none. A peer that is offered several
    certificates may take any of them, so a handle that is bound to one must find no other beside it. The word
    ``fingerprint`` counts wherever it stands: what is no attribute to us might be one to the provider.
    """
    sdp = offer.decode("utf-8", "replace")
    at = sdp.find(_LINE)
    if at < 0:
        return ""
    end = sdp.find("\n", at + 1)
    line = sdp[at:] if end < 0 else sdp[at : end + 1]
    # Browsers repeat one line in each section.
    if sdp.count(line) == sdp.lower().count(_WORD):
        return canonical_fingerprint(_value(line[1:]))
    found = {
        canonical_fingerprint(_value(one)) if one.startswith(_ATTRIBUTE) else ""
        for one in sdp.split("\n")
        if _WORD in one.lower()
    }
    return "" if "" in found or len(found) > MOST_FINGERPRINTS else _BETWEEN.join(sorted(found))


def _value(line: str) -> str:
    return line.removeprefix(_ATTRIBUTE).removesuffix("\n").removesuffix("\r")
