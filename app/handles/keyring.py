"""Key rings for signing and sealing: ``kid:secret,kid:secret``; the first one is active, all are tried.

Rotation: append the new key (every replica can verify it), move it to the front (it signs), remove
the old one after the longest handle life. Messages never contain a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MIN_HMAC_BYTES: Final = 32  # RFC 7518 section 3.2: at least the hash's output
SEALING_BYTES: Final = 32  # AES-256
ED25519_SEED_BYTES: Final = 32
# A random 32-byte key has fewer distinct bytes than this about once in 10^20 draws.
_MIN_DISTINCT_BYTES: Final = 16
_KID = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_ED25519_PREFIX: Final = "ed25519."

SigningAlgorithm = Literal["HS256", "EdDSA"]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of the signing ring, with the one algorithm that its ``kid`` may be used with."""

    kid: str
    algorithm: SigningAlgorithm
    sign_with: bytes | Ed25519PrivateKey = field(repr=False)
    verify_with: bytes | Ed25519PublicKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningRing:
    """``active`` signs; every key in ``by_kid`` verifies."""

    active: SigningKey
    by_kid: dict[str, SigningKey] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One AES-256 key of the sealing ring."""

    kid: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealingRing:
    """``active`` seals; every key in ``by_kid`` unseals."""

    active: SealingKey
    by_kid: dict[str, SealingKey] = field(repr=False)


def parse_signing_ring(text: str) -> SigningRing:
    """Parse ``kid:secret`` pairs separated by commas.

    A secret is base64url (at least 32 random bytes, HS256) or ``ed25519.`` and a base64url seed of
    32 bytes (EdDSA).

    Raises:
        ValueError: empty, malformed or weak; says which ``kid`` and how to make a good one.
    """
    keys = [_signing_key(kid, secret) for kid, secret in _pairs(text)]
    return SigningRing(active=keys[0], by_kid={key.kid: key for key in keys})


def parse_sealing_ring(text: str) -> SealingRing:
    """Parse ``kid:secret`` pairs separated by commas; a secret is base64url of exactly 32 bytes.

    Raises:
        ValueError: empty, malformed or weak; says which ``kid`` and how to make a good one.
    """
    keys = []
    for kid, secret in _pairs(text):
        key = _strong_bytes(kid, secret)
        if len(key) != SEALING_BYTES:
            raise ValueError(f"key {kid!r} has {len(key)} bytes, but AES-256 needs exactly {SEALING_BYTES}")
        keys.append(SealingKey(kid=kid, key=key))
    return SealingRing(active=keys[0], by_kid={key.kid: key for key in keys})


def _signing_key(kid: str, secret: str) -> SigningKey:
    if secret.startswith(_ED25519_PREFIX):
        seed = _strong_bytes(kid, secret.removeprefix(_ED25519_PREFIX))
        if len(seed) != ED25519_SEED_BYTES:
            raise ValueError(
                f"key {kid!r}: an Ed25519 seed has {ED25519_SEED_BYTES} bytes, this one {len(seed)}"
            )
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return SigningKey(kid=kid, algorithm="EdDSA", sign_with=private, verify_with=private.public_key())
    key = _strong_bytes(kid, secret)
    return SigningKey(kid=kid, algorithm="HS256", sign_with=key, verify_with=key)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        kid, colon, secret = entry.partition(":")
        if not colon or not _KID.match(kid):
            raise ValueError(
                f"entry {number} is not of the form kid:secret (kid: letters, digits, '-' or '_')"
            )
        if any(kid == seen for seen, _ in pairs):
            raise ValueError(f"key id {kid!r} stands in the ring twice")
        pairs.append((kid, secret.strip()))
    if not pairs:
        raise ValueError("the ring is empty")
    return pairs


def _strong_bytes(kid: str, secret: str) -> bytes:
    """Decode base64url, strictly, and refuse what no random generator would make."""
    try:
        raw = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {kid!r} is not base64url") from None
    if len(raw) < MIN_HMAC_BYTES:
        raise ValueError(f"key {kid!r} is weak: {len(raw)} bytes, at least {MIN_HMAC_BYTES} are needed")
    if len(set(raw)) < _MIN_DISTINCT_BYTES:
        raise ValueError(f"key {kid!r} is weak: its bytes repeat, so it was not made by a random generator")
    return raw
