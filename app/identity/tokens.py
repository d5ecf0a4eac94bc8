"""Verifies a token of a configured issuer (RFC 7519, RFC 8725).

PyJWT does, with a key that is bound to its algorithm. Pure, but for one thing: PyJWT compares the times with
this machine's clock, and takes no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import jwt

from app.identity.issuers import Issuer, VerifiedToken
from app.identity.keys import Key

# Why a token was refused, for the log and the metrics.
# ``key``: the issuer has none of this id; ``subject``: a ``sub`` that no record could hold; ``use``: the
# issuer is not configured for what the token was sent to.
Reason = Literal[
    "type", "algorithm", "key", "signature", "expired", "not_yet", "audience", "claims", "subject", "use"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{2,2048}\.[A-Za-z0-9_-]{2,12288}\.[A-Za-z0-9_-]{0,2048}\Z")
_KID: Final = re.compile(r"[\x21-\x7e]{1,256}\Z")
# What a handle's subject may be: it stands in records, in lists and on a terminal.
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
# An ID token or an access token (RFC 9068). A token of another explicit type was made for another purpose.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_REQUIRED: Final = ["exp", "iat", "iss", "aud", "sub"]


class TokenRefused(Exception):
    """The token is not accepted. ``reason`` is one of ``REASONS``, never shown to its bearer in full."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself. Nothing of it is known to be true."""

    text: str = field(repr=False)
    issuer: str
    header: dict[str, Any] = field(repr=False)


def read_unverified(text: str) -> UnverifiedToken | None:
    """What a token says of itself; None for text that is no JWT, or names no issuer."""
    if not _TOKEN.match(text):
        return None
    try:
        parts = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    issuer = parts["payload"].get("iss")
    return UnverifiedToken(text, issuer, parts["header"]) if isinstance(issuer, str) else None


def wanted_key(issuer: Issuer, unverified: UnverifiedToken) -> tuple[str, str]:
    """The ``kid`` and the algorithm that the token names, both as the issuer's tokens may have them.

    Raises:
        TokenRefused: for ``none``, a symmetric algorithm, or any other that is not configured.
    """
    header = unverified.header
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if kind is not None and not (isinstance(kind, str) and kind.lower() in _TYPES):
        raise TokenRefused("type")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise TokenRefused("algorithm")
    if not isinstance(kid, str) or not _KID.match(kid):
        raise TokenRefused("key")
    return kid, algorithm


def verify(issuer: Issuer, unverified: UnverifiedToken, key: Key) -> VerifiedToken:
    """Verify the token with the issuer's key.

    Raises:
        TokenRefused
    """
    try:
        claims = jwt.decode(
            unverified.text,
            key,
            algorithms=[key.algorithm_name],
            audience=issuer.audiences,
            issuer=issuer.url,
            leeway=issuer.leeway,
            options={"require": _REQUIRED},
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused("expired") from None
    except jwt.ImmatureSignatureError:
        raise TokenRefused("not_yet") from None
    except jwt.InvalidAudienceError:
        raise TokenRefused("audience") from None
    except jwt.InvalidSignatureError:
        raise TokenRefused("signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise TokenRefused("claims") from None
    subject, expires_at = claims["sub"], claims["exp"]
    if type(expires_at) not in (int, float):
        raise TokenRefused("claims")
    if not isinstance(subject, str) or not _SUBJECT.match(subject):
        raise TokenRefused("subject")
    return VerifiedToken(issuer, subject, float(expires_at), claims)
