"""A small identity provider: its signing keys, the tokens that it signs, and the sign-ins that are under way.

It signs with real keys (RSA, EC, Ed25519), which a test rotates by the control API.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from .keys import ProviderClock

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Who can sign in, with what their tokens say besides their name.
USERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"demo-user": {"plan": "free"}, "demo-pro": {"plan": "pro"}}
)
DEFAULT_ALGORITHM = "ES256"
_CURVES: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}
_RSA = ("RS256", "RS384", "RS512", "PS256")
ALGORITHMS = (*_RSA, *_CURVES, "EdDSA")
RSA_BITS = 2048
TOKEN_SECONDS = 300
CODE_SECONDS = 60.0
# Codes that nobody came back for are forgotten from this many on.
MOST_CODES = 1000


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair with the algorithm that it signs with."""

    kid: str
    algorithm: str
    private: PrivateKey

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JWK (RFC 7517)."""
        private = self.private
        if isinstance(private, rsa.RSAPrivateKey):
            found = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            found = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            found = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
        kept = {name: value for name, value in found.items() if name != "key_ops"}
        return {**kept, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in whose code was handed out: for which page it was, and what proves the page (RFC 7636)."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    audience: str | None
    user: str
    ends_at: float


class Issuer:
    """The identity provider's state. The last key signs; the JWK Set has all that are kept."""

    def __init__(self, clock: ProviderClock) -> None:
        self._clock = clock
        self._keys: list[SigningKey] = []
        self._codes: dict[str, SignIn] = {}

    def rotate(self, algorithm: str = DEFAULT_ALGORITHM, *, keep: bool = True) -> SigningKey:
        """Make a new key and sign with it; `keep` leaves the ones before in the JWK Set."""
        key = SigningKey(f"key-{secrets.token_hex(4)}", algorithm, _private(algorithm))
        self._keys = [*(self._keys if keep else []), key]
        return key

    @property
    def signing(self) -> SigningKey:
        """The key that signs. The first one is made when it is asked for."""
        return self._keys[-1] if self._keys else self.rotate()

    @property
    def kids(self) -> list[str]:
        """The ids of the keys in the JWK Set."""
        return [key.kid for key in self._keys]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set."""
        signing = self.signing
        return {"keys": [key.public_jwk() for key in self._keys or [signing]]}

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """A token with these claims over the usual times; a claim that is None is left out."""
        now, key = int(self._clock.time()), self.signing
        whole = {"iat": now, "exp": now + TOKEN_SECONDS, **claims}
        return jwt.encode(
            {name: value for name, value in whole.items() if value is not None},
            key.private,
            algorithm=key.algorithm,
            headers={"kid": key.kid, **(header or {})},
        )

    def begin(self, **terms: Any) -> str:
        """Remember a sign-in; returns its code, which is good once and for a minute."""
        now = self._clock.time()
        if len(self._codes) >= MOST_CODES:
            self._codes = {code: one for code, one in self._codes.items() if now < one.ends_at}
        code = secrets.token_urlsafe(24)
        self._codes[code] = SignIn(**terms, ends_at=now + CODE_SECONDS)
        return code

    def finish(self, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> SignIn | None:
        """The sign-in of this code, if the same page comes back for it."""
        found = self._codes.pop(code, None)
        if found is None or self._clock.time() >= found.ends_at:
            return None
        proof = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        same = (found.client_id, found.redirect_uri) == (client_id, redirect_uri)
        return found if same and proof == found.challenge else None


def _private(algorithm: str) -> PrivateKey:
    if algorithm in _RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return ed25519.Ed25519PrivateKey.generate()
