"""An issuer's public keys, read from its JWK Set (RFC 7517), and the document that says where it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import orjson

from app.identity.issuers import Algorithm, Issuer
from app.providers.base import http_url, on_this_machine

# A key that is bound to its algorithm.
Key = jwt.PyJWK

# An issuer has a handful: one that signs, the next one, those that it signed with before.
MAX_KEYS: Final = 64
_LEAST_RSA_BITS: Final = 2048
_MAX_KID: Final = 256
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final[Mapping[Any, Algorithm]] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class KeysRefused(Exception):
    """A document of an issuer cannot be used. The message is a clause, safe to show, with what to check."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys by ``kid`` and algorithm, and how many others there were.

    Each is bound to its algorithm, so no token can choose how it is verified.
    """

    keys: Mapping[tuple[str, str], Key] = field(repr=False)
    unusable: int = 0

    @property
    def kids(self) -> list[str]:
        """The ids of the usable keys."""
        return sorted({kid for kid, _ in self.keys})

    @property
    def algorithms(self) -> list[str]:
        """The algorithms that they may verify."""
        return sorted({algorithm for _, algorithm in self.keys})

    def find(self, kid: str, algorithm: str) -> Key | None:
        """The key with this id, for this algorithm."""
        return self.keys.get((kid, algorithm))


def is_safe_url(text: str) -> bool:
    """Whether it is an https URL, or an http one of this machine."""
    parts = http_url(text)
    return (
        parts is not None
        and not parts.fragment
        and (parts.scheme == "https" or on_this_machine(parts.hostname))
    )


def read_discovery(issuer: Issuer, body: bytes) -> str:
    """Where the issuer's keys are, by its own document (OpenID Connect Discovery 1.0, section 4.2).

    Raises:
        KeysRefused: the document is another issuer's, or names no safe URL.
    """
    document = _json_object(body)
    if document.get("issuer") != issuer.url:
        raise KeysRefused(
            f"the issuer at {issuer.discovery_url} calls itself by another name, so check "
            f"{issuer.place}.issuer: it must be exactly what the tokens have in iss"
        )
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not is_safe_url(url):
        raise KeysRefused(f"its discovery document names no https jwks_uri, so set {issuer.place}.jwks_url")
    return url


def read_keys(issuer: Issuer, body: bytes) -> KeySet:
    """The keys of a JWK Set that verify signatures with one of the issuer's algorithms.

    Raises:
        KeysRefused: there is none.
    """
    listed = _json_object(body).get("keys")
    listed = listed[:MAX_KEYS] if isinstance(listed, list) else []
    keys: dict[tuple[str, str], Key] = {}
    unusable = 0
    for jwk in listed:
        found = dict(_usable(jwk, issuer.algorithms)) if isinstance(jwk, dict) else {}
        unusable += not found
        keys |= found
    if not keys:
        raise KeysRefused(
            f"its JWK Set has {len(listed)} keys, and none of them for {', '.join(issuer.algorithms)}; check "
            f"{issuer.place}.algorithms"
        )
    return KeySet(keys, unusable)


def _usable(
    jwk: Mapping[str, Any], algorithms: tuple[Algorithm, ...]
) -> Iterator[tuple[tuple[str, str], Key]]:
    """The key once for each algorithm that it may verify."""
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not _signs(jwk):
        return
    for algorithm in algorithms:
        if jwk.get("alg") not in (None, algorithm) or not _is_for(jwk, algorithm):
            continue
        try:
            key = Key(dict(jwk), algorithm)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if jwk["kty"] != "RSA" or key.key.key_size >= _LEAST_RSA_BITS:
            yield (kid, algorithm), key


def _signs(jwk: Mapping[str, Any]) -> bool:
    """Whether it is public and may verify signatures. A private key in public is nobody's secret."""
    operations = jwk.get("key_ops")
    verifies = operations is None or (isinstance(operations, list) and "verify" in operations)
    return jwk.get("use") in (None, "sig") and verifies and "d" not in jwk


def _is_for(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key of this kind and curve can have this algorithm (RFC 7518, RFC 8037)."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "RSA":
        return algorithm in _RSA
    if kind == "EC":
        return isinstance(curve, str) and _CURVES.get(curve) == algorithm
    return kind == "OKP" and curve == "Ed25519" and algorithm == "EdDSA"


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise KeysRefused("the answer is no JSON object")
    return found
