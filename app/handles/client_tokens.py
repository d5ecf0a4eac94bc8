"""Client tokens: short-lived JWTs that stand for a client's key. Pure: clock and keys are passed in.

They are signed with the ring of the handles, under another ``typ``, issuer and audience, so that neither can
ever be taken for the other (RFC 8725, section 3.11). Whoever holds one may do what the client may.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jwt
import orjson
from jwt.types import Options
from jwt.utils import base64url_encode

from app.handles.keyring import SigningKey, SigningRing
from app.handles.tokens import CLOCK_SKEW_SECONDS, SIGNATURE

CLIENT_TOKEN_TYPE: Final = "cloakroom-client+jwt"  # noqa: S105 - the name of a kind of token, no secret
AUDIENCE: Final = "cloakroom-clients"
ISSUER: Final = "cloakroom-exchange"
SHORTEST_SECONDS: Final = 60
LONGEST_SECONDS: Final = 3600
USUAL_SECONDS: Final = 900

_ID_BYTES: Final = 16
_REST: Final = re.compile(rf"[A-Za-z0-9_-]{{16,1024}}\.{SIGNATURE}\Z")
_CLAIMS: Final = ["iss", "aud", "sub", "iat", "exp", "jti"]
# PyJWT knows this machine's clock only; ours is compared below.
_OPTIONS: Final[Options] = {
    "require": _CLAIMS,
    "strict_aud": True,
    "verify_exp": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class ClientToken:
    """A fresh token: its text, its ``jti`` for the log, and how many seconds it lives."""

    text: str
    id: str
    seconds: int

    def __repr__(self) -> str:
        return f"ClientToken(id={self.id!r}, seconds={self.seconds})"


class ClientTokens:
    """Signs client tokens with the active key, and verifies them with any key of the ring.

    Args:
        ring: the signing keys of the handles.
        clock: returns epoch seconds.
    """

    def __init__(self, ring: SigningRing, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.use(ring)

    def use(self, ring: SigningRing) -> None:
        """Sign and verify with this ring from now on."""
        by_header = {_header_of(key): key for key in ring.by_kid.values()}
        self._active, self._by_header = ring.active, by_header

    def issue(self, client: str, *, seconds: int) -> ClientToken:
        """A token that stands for this client."""
        token_id, now = secrets.token_urlsafe(_ID_BYTES), int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": client,
            "iat": now,
            "exp": now + seconds,
            "jti": token_id,
        }
        key = self._active
        signed = f"{_header_of(key)}.{base64url_encode(orjson.dumps(claims)).decode('ascii')}"
        algorithm = jwt.PyJWS().get_algorithm_by_name(key.algorithm)
        signature = algorithm.sign(signed.encode("ascii"), key.sign_with)
        return ClientToken(f"{signed}.{base64url_encode(signature).decode('ascii')}", token_id, seconds)

    def client_of(self, unverified_text: str) -> str | None:
        """The client that a token of ours stands for; None for any other text, and for one that has ended."""
        header, _, rest = unverified_text.partition(".")
        key = self._by_header.get(header)
        if key is None or not _REST.match(rest):
            return None
        try:
            claims = jwt.decode(
                unverified_text,
                key.verify_with,
                algorithms=[key.algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None
        client, issued_at, expires_at, now = claims["sub"], claims["iat"], claims["exp"], self._clock()
        # ``type() is`` and not isinstance: JSON's true would pass for 1.
        if type(issued_at) is not int or type(expires_at) is not int:
            return None
        believable = issued_at <= now + CLOCK_SKEW_SECONDS and expires_at <= issued_at + LONGEST_SECONDS
        return client if believable and now < expires_at else None


def _header_of(key: SigningKey) -> str:
    """The header segment of this key's tokens. It has one spelling, and no other is taken."""
    header = {"alg": key.algorithm, "kid": key.kid, "typ": CLIENT_TOKEN_TYPE}
    return base64url_encode(orjson.dumps(header)).decode("ascii")
