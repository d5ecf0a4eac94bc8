"""Workload identity federation: whose tokens the provider exchanges, and the access tokens given out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from .keys import ProviderClock

AUDIENCE = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """A configured identity provider with one mapping to a service account.

    Real issuers sign with a private key. Here the issuer's tokens are HS256, so that nothing but the standard
    library is needed to check them.

    Attributes:
        issuer_key: the secret that the issuer signs with.
        life: of an access token, in seconds.
    """

    identity_provider_id: str
    service_account_id: str
    issuer_key: str
    life: float = 3600.0


class AccessTokens:
    """The access tokens that were given out, and the `jti` of each workload token that was exchanged."""

    def __init__(self, clock: ProviderClock) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}
        self.exchanged: list[str] = []

    def give(self, jti: str, life: float) -> str:
        """A new token."""
        token = f"oat-{secrets.token_urlsafe(32)}"
        self._ends[token] = self._clock.time() + life
        self.exchanged.append(jti)
        return token

    def accepts(self, token: str) -> bool:
        """Whether the token was given out, has not ended, and was not revoked."""
        return self._clock.time() < self._ends.get(token, 0.0)

    def revoke_all(self) -> None:
        """End every token now."""
        self._ends.clear()


def signed(claims: dict[str, Any], issuer_key: str) -> str:
    """A workload's token, as the issuer makes it."""
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = f"{head}.{_encoded(json.dumps(claims).encode())}"
    return f"{body}.{_encoded(_mac(body, issuer_key))}"


def verified_claims(token: str, issuer_key: str, now: float) -> dict[str, Any] | None:
    """The claims of a token that the issuer signed, that is for OpenAI and that has not ended; else None."""
    body, _, signature = token.rpartition(".")
    head, _, claims = body.partition(".")
    try:
        header, found = json.loads(_decoded(head)), json.loads(_decoded(claims))
        mac = _decoded(signature)
    except (ValueError, binascii.Error):
        return None
    sound = isinstance(header, dict) and header.get("alg") == "HS256" and isinstance(found, dict)
    if not sound or not hmac.compare_digest(mac, _mac(body, issuer_key)):
        return None
    audience = found.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires_at = found.get("exp")
    alive = isinstance(expires_at, int | float) and now < expires_at
    return found if alive and AUDIENCE in audiences else None


def _mac(body: str, key: str) -> bytes:
    return hmac.digest(key.encode(), body.encode(), hashlib.sha256)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
