"""The handle verifier: nobody but us makes a handle, and each has one spelling."""

from __future__ import annotations

import hmac
from typing import Any, Final

import jwt
import orjson
from jwt.utils import base64url_encode

from app.errors import HandleExpired, InvalidHandle
from app.handles.keyring import SigningKey, parse_signing_ring
from app.handles.tokens import AFTERLIFE_SECONDS, AUDIENCE, CLOCK_SKEW_SECONDS, ISSUER, HandleIssuer
from app.models import MAX_KEY_SECONDS, HandleClaims
from tests.fuzz.target import Target, kind_and_rest
from tests.unit.values import NOW, ed25519_ring, ring

_RING: Final = parse_signing_ring(f"{ring('k1')},{ed25519_ring('e1')}")
_HASHED, _CURVED = _RING.by_kid["k1"], _RING.by_kid["e1"]
_ISSUER: Final = HandleIssuer(_RING, prefix="ek_", clock=lambda: NOW)
_ID: Final = "AAECAwQFBgcICQoLDA0ODw"
_GOOD: Final[dict[str, Any]] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "iat": int(NOW),
    "exp": int(NOW) + 600,
    "jti": _ID,
}
_MESSAGES: Final = frozenset({"This handle has expired. Mint a new one."})
_PREFIX: Final = "This handle is not valid here."


def _header(key: SigningKey) -> dict[str, str]:
    return {"alg": key.algorithm, "kid": key.kid, "typ": "handle+jwt"}


def _signed(header: bytes, payload: bytes, key: SigningKey = _HASHED) -> str:
    """A token with a true signature over any header and payload."""
    text = f"{base64url_encode(header).decode()}.{base64url_encode(payload).decode()}"
    with_key = key.sign_with
    if isinstance(with_key, bytes):
        signature = hmac.digest(with_key, text.encode(), "sha256")
    else:
        signature = with_key.sign(text.encode())
    return f"{text}.{base64url_encode(signature).decode()}"


_ISSUED: Final = (
    _ISSUER.issue(_ID, expires_at=int(NOW) + 600),
    _ISSUER.issue(_ID, expires_at=int(NOW) - 600),
    _ISSUER.issue(_ID, expires_at=int(NOW) + 600, owner="k1.sealed-owner"),
    _signed(orjson.dumps(_header(_CURVED)), orjson.dumps(_GOOD), _CURVED),
)
_KNOWN: Final = frozenset(text.removeprefix("ek_") for text in _ISSUED)


def check(data: bytes) -> None:
    """``t``: any text. ``c``, ``e``: any claims under our signature. ``h``: any header under it."""
    kind, rest = kind_and_rest(data, "tceh")
    if kind == "t":
        text = rest.decode("utf-8", "surrogateescape")
        if _verified(text) is not None or _verified(text, allow_expired=True) is not None:
            assert text.removeprefix("ek_") in _KNOWN, "a text that we never issued is accepted"
    elif kind == "h":
        claims = _verified(_signed(rest, orjson.dumps(_GOOD)))
        if claims is not None:
            # PyJWT's reading of the header is json's and not orjson's.
            token = _signed(rest, orjson.dumps(_GOOD))
            assert jwt.get_unverified_header(token) == _header(_HASHED)
            assert claims.id == _ID
    else:
        key = _CURVED if kind == "e" else _HASHED
        _check_claims(_signed(orjson.dumps(_header(key)), rest, key), key)


def _check_claims(token: str, key: SigningKey) -> None:
    claims = _verified(token)
    if claims is None:
        return
    theirs = jwt.decode(
        token,
        key.verify_with,
        algorithms=[key.algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={
            "require": ["iss", "aud", "iat", "exp", "jti"],
            "strict_aud": True,
            # It has no clock but the machine's.
            "verify_exp": False,
            "verify_iat": False,
        },
    )
    assert theirs.keys() - {"own"} == _GOOD.keys()
    assert (theirs["jti"], theirs["exp"], theirs.get("own", "")) == (
        claims.id,
        claims.expires_at,
        claims.owner,
    )
    assert len(claims.id) == 22
    assert claims.id.isascii()
    assert NOW < claims.expires_at <= theirs["iat"] + MAX_KEY_SECONDS + CLOCK_SKEW_SECONDS
    assert theirs["iat"] <= NOW + CLOCK_SKEW_SECONDS
    # What is alive is alive, too, for what may be done after the end.
    assert _verified(token, allow_expired=True) == claims


def _verified(text: str, *, allow_expired: bool = False) -> HandleClaims | None:
    try:
        claims = _ISSUER.verify(text, allow_expired=allow_expired)
    except (InvalidHandle, HandleExpired) as error:
        # One sentence for every reason: nothing tells which check failed.
        assert error.message.startswith(_PREFIX) or error.message in _MESSAGES
        return None
    assert claims.expires_at + (AFTERLIFE_SECONDS if allow_expired else 0) > NOW
    return claims


def _changed(**changes: Any) -> bytes:
    return orjson.dumps({**_GOOD, **changes})


TARGET: Final = Target(
    name="handles",
    check=check,
    share=0.18,
    seeds=(
        *(b"t" + text.encode() for text in _ISSUED),
        b"t" + _ISSUED[0].removeprefix("ek_").encode(),
        b"t" + _ISSUED[0].encode() + b"=",
        *(
            kind + payload
            for kind in (b"c", b"e")
            for payload in (
                _changed(),
                _changed(own="k1.x"),
                _changed(iat=int(NOW) + 60),
                _changed(exp=int(NOW)),
                _changed(exp=True),
                _changed(exp=float(NOW + 600)),
                _changed(aud=[AUDIENCE]),
                _changed(jti="A" * 21 + "\n"),
                _changed(nbf=0),
                _changed().replace(b"}", b',"exp":1e400}'),
                b"[]",
                b"[" * 1500,
            )
        ),
        b"h" + orjson.dumps(_header(_HASHED)),
        b"h" + orjson.dumps(_header(_HASHED)).replace(b":", b": "),
        b"h" + orjson.dumps({**_header(_HASHED), "crit": ["x"]}),
        b"h" + orjson.dumps({**_header(_HASHED), "alg": "none"}),
        b"h" + orjson.dumps({**_header(_HASHED), "kid": {"k1": 1}}),
        b"h" + orjson.dumps({**_header(_HASHED), "kid": "e1", "alg": "EdDSA"}),
    ),
    words=(b'"iss"', b'"aud"', b'"iat"', b'"exp"', b'"jti"', b'"own"', b'"alg"', b'"typ"', b'"kid"', b"ek_"),
)
