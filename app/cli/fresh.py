"""Makes fresh secrets in the forms that the settings take. Pure but for the system's random source."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Kind = Literal["signing", "sealing", "api", "admin"]
Algorithm = Literal["HS256", "EdDSA", "AES-256-GCM"]

KINDS: Final[tuple[Kind, ...]] = ("signing", "sealing", "api", "admin")
ENV_NAMES: Final[dict[Kind, str]] = {
    "signing": "CLOAKROOM_SIGNING_KEYS",
    "sealing": "CLOAKROOM_SEALING_KEYS",
    "api": "CLOAKROOM_API_KEYS",
    "admin": "CLOAKROOM_ADMIN_KEYS",
}
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class RingSecret:
    """One entry of a key ring."""

    kid: str
    algorithm: Algorithm
    entry: str

    def __repr__(self) -> str:
        return f"RingSecret(kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class CallerSecret:
    """One client's or operator's key; ``digest`` can be configured instead of it."""

    name: str
    key: str
    digest: str

    @property
    def entry(self) -> str:
        return f"{self.name}:{self.key}"

    def __repr__(self) -> str:
        return f"CallerSecret(name={self.name!r})"


def signing_secret(kid: str, *, eddsa: bool = False) -> RingSecret:
    """A key that signs handles: 32 random bytes for HS256, or an Ed25519 seed."""
    if eddsa:
        return RingSecret(kid, "EdDSA", f"{kid}:ed25519.{_random_text()}")
    return RingSecret(kid, "HS256", f"{kid}:{_random_text()}")


def sealing_secret(kid: str) -> RingSecret:
    """An AES-256 key that seals ephemeral keys in Redis."""
    return RingSecret(kid, "AES-256-GCM", f"{kid}:{_random_text()}")


def caller_secret(name: str, *, admin: bool = False) -> CallerSecret:
    """A key for a client, or for an operator; the prefix tells a leak's finder what was found."""
    key = ("ck_admin_" if admin else "ck_") + _random_text()
    return CallerSecret(name, key, "sha256:" + hashlib.sha256(key.encode()).hexdigest())


def next_kid(today: date, taken: Collection[str]) -> str:
    """Return ``k`` + date + letter, the first that is not in ``taken``: a ring may not repeat a kid.

    Raises:
        ValueError: all letters of the day are in use.
    """
    for letter in string.ascii_lowercase:
        kid = f"k{today:%Y%m%d}{letter}"
        if kid not in taken:
            return kid
    raise ValueError(f"all key ids of {today.isoformat()} are in use")


def kids_in(ring: str) -> set[str]:
    """The key ids of a ring's text, whether or not its secrets would do."""
    return {entry.partition(":")[0].strip() for entry in ring.split(",") if ":" in entry}


def _random_text() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).rstrip(b"=").decode()
