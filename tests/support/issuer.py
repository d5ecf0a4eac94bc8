"""Tokens of the identity provider in a box, as it signs them and as others forge them, and the settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE: Final = "cloakroom"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")


def issuers(url: str = "{provider}/issuer", **fields: Any) -> str:
    """The setting ``CLOAKROOM_ISSUERS`` with one issuer, ``team``, whose users are the client ``shop``."""
    usual = {
        "issuer": url,
        "audience": AUDIENCE,
        "algorithms": list(ALGORITHMS),
        "users": {"client": "shop"},
    }
    whole = {name: value for name, value in {**usual, **fields}.items() if value is not None}
    return json.dumps({"team": whole})


def claims_of(url: str, **more: Any) -> dict[str, Any]:
    """The claims of a good token of this issuer; one that is None is left out."""
    now = int(time.time())
    whole = {"iss": url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, **more}
    return {name: value for name, value in whole.items() if value is not None}


def unsigned(claims: Mapping[str, Any], kid: str, algorithm: str = "none") -> str:
    """A token without a signature."""
    return f"{segment({'alg': algorithm, 'typ': 'JWT', 'kid': kid})}.{segment(claims)}."


def signed_with_public_key(claims: Mapping[str, Any], kid: str, jwk: Mapping[str, Any]) -> str:
    """A token whose HMAC key is the issuer's public key: a verifier that believes ``alg`` takes it."""
    public = jwt.PyJWK(dict(jwk)).key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{segment(claims)}"
    return f"{body}.{encoded(hmac.digest(pem, body.encode(), hashlib.sha256))}"


def signed_by_another(claims: Mapping[str, Any], kid: str, algorithm: str) -> str:
    """A token under this ``kid``, by a key that is not the issuer's."""
    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    return jwt.encode(dict(claims), key, algorithm=algorithm, headers={"kid": kid})


def segment(value: Mapping[str, Any]) -> str:
    return encoded(json.dumps(value).encode())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def exchange_form(token: str, **more: str) -> dict[str, str]:
    """The form of a token exchange."""
    return {"grant_type": GRANT_TYPE, "subject_token": token, "subject_token_type": JWT_TYPE, **more}
