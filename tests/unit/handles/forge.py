"""Makes tokens that are almost handles: any header, any payload, signed with any key or with none."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.handles.keyring import parse_signing_ring
from app.handles.tokens import AUDIENCE, HANDLE_TYPE, ISSUER
from tests.unit.values import NOW, ring

RING: Final = ring("k1")
HANDLE_ID: Final = "AAECAwQFBgcICQoLDA0ODw"
CLAIMS: Final[dict[str, Any]] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "iat": int(NOW),
    "exp": int(NOW) + 600,
    "jti": HANDLE_ID,
}
HEADER: Final[dict[str, Any]] = {"alg": "HS256", "kid": "k1", "typ": HANDLE_TYPE}
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: Any = HEADER, claims: Any = CLAIMS, *, key: Any = None, algorithm: str = "HS256") -> str:
    """A token of exactly this header and payload (bytes are taken as they are), with a true signature.

    Signed by hand, since PyJWT refuses some of the keys that an attacker does not.
    """
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    text = ".".join(b64(part) for part in parts)
    with_key = parse_signing_ring(RING).active.sign_with if key is None else key
    if isinstance(with_key, Ed25519PrivateKey):
        signature = with_key.sign(text.encode())
    else:
        signature = hmac.digest(with_key, text.encode(), f"sha{algorithm[2:]}")
    return f"{text}.{b64(signature)}"


def without(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    """The mapping less one name."""
    return {key: value for key, value in mapping.items() if key != name}


def last_letters(segment: str) -> str:
    """The letters that may stand last in a base64url segment without changing what a decoder reads."""
    unused_bits = {2: 4, 3: 2}.get(len(segment) % 4, 0)
    first = ALPHABET.index(segment[-1]) >> unused_bits << unused_bits
    return ALPHABET[first : first + (1 << unused_bits)]


def spellings(segment: str) -> list[str]:
    """All other ways to write a base64url segment so that a lenient decoder reads the same bytes."""
    padding = "=" * (-len(segment) % 4)
    found = [segment[:-1] + letter for letter in last_letters(segment)]
    found += [segment + padding, segment + "====", segment.replace("-", "+").replace("_", "/")]
    return [one for one in found if one != segment]
