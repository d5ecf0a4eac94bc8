"""Handles: short-lived JWTs that tell their bearer nothing. Pure: clock and keys are passed in.

Claims are ``iss aud iat exp jti``, and ``own``, sealed, where the owner's calls are limited; the header
pins ``typ`` and, by its ``kid``, the one
algorithm that may verify (RFC 8725). What the handle stands for lies in Redis under its ``jti``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Final

import jwt
import orjson
from jwt.utils import base64url_decode, base64url_encode

from app.errors import HandleExpired, InvalidHandle
from app.handles.keyring import SigningKey, SigningRing
from app.models import LONGEST_CALL_SECONDS, MAX_KEY_SECONDS, HandleClaims

HANDLE_TYPE: Final = "handle+jwt"
AUDIENCE: Final = "cloakroom"
ISSUER: Final = "cloakroom"
ID_BYTES: Final = 16

# The clock rule: replicas sign and verify with their own clocks, kept by NTP. A handle from the future
# is let through up to this many seconds, an expired one never: its record is gone from Redis anyway.
CLOCK_SKEW_SECONDS: Final = 60

# A call outlives its handle. The last one may start just before the expiry, and after this time no
# handle has a call left to end.
AFTERLIFE_SECONDS: Final = LONGEST_CALL_SECONDS + CLOCK_SKEW_SECONDS

# Three unpadded base64url segments. The last character of a 32- or 64-byte signature carries 2 or 4
# bits; only the canonical letters are taken, so that one handle has exactly one spelling.
_SEGMENT = "[A-Za-z0-9_-]{16,512}"
SIGNATURE: Final = "(?:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]|[A-Za-z0-9_-]{85}[AQgw])"
_TOKEN = re.compile(rf"{_SEGMENT}\.{_SEGMENT}\.{SIGNATURE}\Z")
_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
# The last character of 16 bytes carries two bits, so it has four letters, and room for a mark.
_MARKED: Final = {"A": "B", "Q": "R", "g": "h", "w": "x"}
_MARKED_BOUND: Final = {"A": "C", "Q": "S", "g": "i", "w": "y"}
_BOUND_MARKS: Final = frozenset(_MARKED_BOUND.values())
_MARKS: Final = _BOUND_MARKS | frozenset(_MARKED.values())

_MESSAGE = "This handle is not valid here. Mint a new one and send it as 'Authorization: Bearer <handle>'."
_EXPIRED = "This handle has expired. Mint a new one."

_CLAIMS: Final = {"iss", "aud", "iat", "exp", "jti"}
_OWNED: Final = _CLAIMS | {"own"}


def new_handle_id() -> str:
    """Return 128 random bits as 22 characters of base64url, with the mark that ``has_proof`` looks for."""
    text = secrets.token_urlsafe(ID_BYTES)
    return text[:-1] + _MARKED[text[-1]]


def new_bound_handle_id() -> str:
    """The same for a handle that is bound to a certificate, with the mark that ``is_bound`` looks for."""
    text = secrets.token_urlsafe(ID_BYTES)
    return text[:-1] + _MARKED_BOUND[text[-1]]


def is_bound(handle_id: str) -> bool:
    """Whether the handle's record is bound to a certificate, so that its offers are read with more care."""
    return handle_id[-1:] in _BOUND_MARKS


def has_proof(handle_id: str) -> bool:
    """Whether the handle's record was written with a proof; releases before wrote none.

    The handle itself says so, which nobody can change in the store.
    """
    return handle_id[-1:] in _MARKS


class HandleIssuer:
    """Signs handles with the active key and verifies them with any key of the ring.

    Args:
        ring: the signing keys.
        prefix: put before the JWT on the way out; on the way in a handle is taken with or without it.
        clock: returns epoch seconds.
    """

    def __init__(self, ring: SigningRing, *, prefix: str, clock: Callable[[], float]) -> None:
        self._prefix = prefix
        self._clock = clock
        self._algorithms = {name: jwt.PyJWS().get_algorithm_by_name(name) for name in ("HS256", "EdDSA")}
        self.use(ring)

    def use(self, ring: SigningRing) -> None:
        """Sign and verify with this ring from now on."""
        by_header = {self._header_of(key): key for key in ring.by_kid.values()}
        active_header = self._header_of(ring.active)
        # Nothing above has changed this object, should it fail.
        self._ring, self._by_header, self._active_header = ring, by_header, active_header

    def issue(self, handle_id: str, *, expires_at: int, owner: str = "") -> str:
        """Return the handle's text; ``expires_at`` is epoch seconds on our own clock, ``owner`` is sealed."""
        key = self._ring.active
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(self._clock()),
            "exp": expires_at,
            "jti": handle_id,
        }
        if owner:
            claims["own"] = owner
        # PyJWT's ``encode`` builds and sorts the header anew each time: 25 us, against 6 us here.
        signed = f"{self._active_header}.{base64url_encode(orjson.dumps(claims)).decode('ascii')}"
        signature = self._algorithms[key.algorithm].sign(signed.encode("ascii"), key.sign_with)
        return f"{self._prefix}{signed}.{base64url_encode(signature).decode('ascii')}"

    def _header_of(self, key: SigningKey) -> str:
        """The header segment that this key's handles begin with, as PyJWT writes it; fixed for life."""
        header = {"typ": HANDLE_TYPE, "kid": key.kid}
        return jwt.encode({}, key.sign_with, algorithm=key.algorithm, headers=header).partition(".")[0]

    def verify(self, unverified_text: str, *, allow_expired: bool = False) -> HandleClaims:
        """Return the claims of a handle that we signed and that is still alive.

        ``allow_expired`` also takes one that expired less than ``AFTERLIFE_SECONDS`` ago, for what its
        bearer may do after it: end a call. Everything else about it is verified all the same.

        Raises:
            HandleExpired: ours, but past its time.
            InvalidHandle: anything else; the message never says which check failed.
        """
        unverified_token = unverified_text.removeprefix(self._prefix)
        if not _TOKEN.match(unverified_token):
            raise InvalidHandle(_MESSAGE)
        try:
            claims = self._decode(unverified_token)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise InvalidHandle(_MESSAGE) from None
        return self._check_values(claims, afterlife=AFTERLIFE_SECONDS if allow_expired else 0)

    def _decode(self, unverified_token: str) -> dict[str, Any]:
        """Verify header, signature, issuer and audience; times and id are checked by the caller.

        PyJWT's ``decode`` parses the header twice and validates options on each call: 60 us, against
        8 us here. A test holds both to the same verdict.
        """
        unverified_signed, _, signature = unverified_token.rpartition(".")
        unverified_header, _, unverified_payload = unverified_signed.partition(".")
        key = self._by_header.get(unverified_header) or self._key_for(unverified_header)
        algorithm = self._algorithms[key.algorithm]
        if not algorithm.verify(
            unverified_signed.encode("ascii"), key.verify_with, base64url_decode(signature)
        ):
            raise InvalidHandle(_MESSAGE)
        claims = orjson.loads(base64url_decode(unverified_payload))
        if type(claims) is not dict or claims.keys() not in (_CLAIMS, _OWNED):
            raise InvalidHandle(_MESSAGE)
        # Strict: an audience in a list is never ours.
        if claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
            raise InvalidHandle(_MESSAGE)
        return claims

    def _key_for(self, unverified_header: str) -> SigningKey:
        """Find the key of a header whose spelling is not ours, as another PyJWT release may write it."""
        header = orjson.loads(base64url_decode(unverified_header))
        key = self._ring.by_kid.get(header["kid"]) if type(header) is dict else None
        if key is None or header != {"alg": key.algorithm, "typ": HANDLE_TYPE, "kid": key.kid}:
            raise InvalidHandle(_MESSAGE)
        return key

    def _check_values(self, claims: dict[str, Any], *, afterlife: int) -> HandleClaims:
        handle_id, expires_at, issued_at = claims["jti"], claims["exp"], claims["iat"]
        # ``type() is`` and not isinstance: JSON's true would pass for 1.
        owner = claims.get("own", "")
        times_well_formed = type(expires_at) is int and type(issued_at) is int
        texts_well_formed = type(owner) is str and type(handle_id) is str and _ID.match(handle_id)
        well_formed = times_well_formed and texts_well_formed
        now = self._clock()
        if not well_formed or issued_at > now + CLOCK_SKEW_SECONDS:
            raise InvalidHandle(_MESSAGE)
        # A key lives two hours at most, so a handle that claims more was not made by this code.
        if expires_at > issued_at + MAX_KEY_SECONDS + CLOCK_SKEW_SECONDS:
            raise InvalidHandle(_MESSAGE)
        if expires_at + afterlife <= now:
            raise HandleExpired(_EXPIRED)
        return HandleClaims(id=handle_id, expires_at=expires_at, owner=owner)
