"""The readers of other tokens: a client's, an issuer's, and the issuer's keys and document."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.utils import base64url_decode, base64url_encode

from app.handles.client_tokens import AUDIENCE, ISSUER, LONGEST_SECONDS, ClientTokens
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import CLOCK_SKEW_SECONDS
from app.identity.issuers import Issuer, VerifiedToken
from app.identity.keys import KeySet, KeysRefused, is_safe_url, read_discovery, read_keys
from app.identity.tokens import REASONS, TokenRefused, read_unverified, verify, wanted_key
from tests.fuzz.target import PLANTED, Target, kind_and_rest, without_secrets
from tests.unit.values import NOW, ed25519_ring, ring_secret

_RING: Final = parse_signing_ring(ed25519_ring("e1"))
_CLIENT_TOKENS: Final = ClientTokens(_RING, clock=lambda: NOW)
_CLIENT_HEADER: Final = _CLIENT_TOKENS.issue("shop", seconds=900).text.partition(".")[0]

_TEAM: Final = Issuer(
    "team", "https://sso.example/acme", ("cloakroom", "voice"), ("RS256", "ES256", "ES384", "EdDSA")
)
_KEY: Final = Ed25519PrivateKey.from_private_bytes(base64url_decode(ring_secret("issuer")))
_JWK: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "i1",
    "x": base64url_encode(_KEY.public_key().public_bytes_raw()).decode(),
}
_KEYS: Final = read_keys(_TEAM, orjson.dumps({"keys": [_JWK]}))
_HEADER: Final = orjson.dumps({"alg": "EdDSA", "kid": "i1", "typ": "JWT"})
# PyJWT compares with this machine's clock and takes no other: years before it, and decades after.
_ISSUED, _EXPIRES = 1_700_000_000, 4_000_000_000


def _claims(**changes: Any) -> bytes:
    usual = {
        "iss": _TEAM.url,
        "aud": "cloakroom",
        "sub": "ada",
        "iat": _ISSUED,
        "exp": _EXPIRES,
    }
    return orjson.dumps({**usual, **changes})


def _client_claims(**changes: Any) -> bytes:
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "iat": int(NOW),
        "exp": int(NOW) + 900,
        "jti": "AAECAwQFBgcICQoLDA0ODw",
    }
    return orjson.dumps({**usual, **changes})


def _signed(header: str, payload: bytes, key: Ed25519PrivateKey) -> str:
    text = f"{header}.{base64url_encode(payload).decode()}"
    return f"{text}.{base64url_encode(key.sign(text.encode())).decode()}"


_SIGNS_CLIENTS: Final = Ed25519PrivateKey.from_private_bytes(base64url_decode(ring_secret("e1")))
_GOOD: Final = _signed(base64url_encode(_HEADER).decode(), _claims(), _KEY)
# Its id is the same in every process, as the corpus is.
_CLIENT: Final = _signed(_CLIENT_HEADER, _client_claims(), _SIGNS_CLIENTS)


def check(data: bytes) -> None:
    """The first letter says what the rest is.

    ``t``: any text. ``c``: claims of a client token. ``i``, ``h``: claims and header of an issuer's token.
    ``k``: a JWK Set. ``d``: a discovery document.
    """
    kind, rest = kind_and_rest(data, "tcihkd")
    if kind == "t":
        _check_text(rest.decode("utf-8", "surrogateescape"))
    elif kind == "c":
        _check_client(rest)
    elif kind == "i":
        _check_issuers(_signed(base64url_encode(_HEADER).decode(), rest, _KEY))
    elif kind == "h":
        _check_issuers(_signed(base64url_encode(rest).decode(), _claims(), _KEY))
    elif kind == "k":
        _check_keys(rest)
    else:
        _check_discovery(rest)


def _check_text(text: str) -> None:
    client = _CLIENT_TOKENS.client_of(text)
    assert client is None or text == _CLIENT, "a client token that we never issued"
    token = _judged(text)
    # The last letter of a signature has bits that a decoder drops.
    assert token is None or text[:-1] == _GOOD[:-1], "a token that the issuer never signed"


def _check_client(payload: bytes) -> None:
    # A header that is not ours leads nowhere; it is in ``t``.
    client = _CLIENT_TOKENS.client_of(_signed(_CLIENT_HEADER, payload, _SIGNS_CLIENTS))
    if client is None:
        return
    # PyJWT's reader, which takes more for a number than JSON does.
    claims = json.loads(payload)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, AUDIENCE, client)
    assert claims["iat"] - CLOCK_SKEW_SECONDS <= NOW < claims["exp"] <= claims["iat"] + LONGEST_SECONDS


def _check_issuers(text: str) -> None:
    token = _judged(text)
    if token is None:
        return
    assert token.claims["iss"] == _TEAM.url
    audiences = token.claims["aud"]
    assert set(_TEAM.audiences) & {audiences if isinstance(audiences, str) else one for one in audiences}
    assert 0 < len(token.subject) <= 128
    assert token.subject.isascii()
    assert token.subject.isprintable()
    assert token.expires_at > _ISSUED


def _judged(text: str) -> VerifiedToken | None:
    """As the service goes about it."""
    unverified = read_unverified(text)
    if unverified is None:
        return None
    assert text not in repr(unverified)
    try:
        kid, algorithm = wanted_key(_TEAM, unverified)
        assert algorithm in _TEAM.algorithms
        key = _KEYS.find(kid, algorithm)
        return None if key is None else verify(_TEAM, unverified, key)
    except TokenRefused as refused:
        assert refused.reason in REASONS
        return None


def _check_keys(body: bytes) -> None:
    try:
        found: KeySet = read_keys(_TEAM, body)
    except KeysRefused as refused:
        without_secrets(refused)
        return
    without_secrets(found)
    assert found.keys
    for (kid, algorithm), key in found.keys.items():
        assert 0 < len(kid) <= 256
        assert algorithm in _TEAM.algorithms
        assert key.algorithm_name == algorithm
        # No secret and no private key is ever taken for a public one.
        assert "Private" not in type(key.key).__name__
        assert not isinstance(key.key, bytes)


def _check_discovery(body: bytes) -> None:
    try:
        url = read_discovery(_TEAM, body)
    except KeysRefused as refused:
        without_secrets(refused)
        return
    assert is_safe_url(url)
    assert url.lower().startswith(("https://", "http://"))


_RSA: Final = {"kty": "RSA", "kid": "r", "n": "AQAB" * 90, "e": "AQAB", "alg": "RS256"}
_EC: Final = {
    "kty": "EC",
    "kid": "c",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}

TARGET: Final = Target(
    name="tokens",
    check=check,
    share=0.12,
    longest=16_384,
    seeds=(
        b"t" + _GOOD.encode(),
        b"t" + _CLIENT.encode(),
        # Deeper than Python's recursion goes.
        b"t" + b".".join([base64url_encode(_HEADER), base64url_encode(b'{"iss":' + b"[" * 6000), b""]),
        b"t" + b".".join([base64url_encode(b"[" * 1400), base64url_encode(_claims()), b""]),
        b"c" + _client_claims(),
        b"c" + _client_claims(sub=["shop"]),
        b"c" + _client_claims(nbf=1).replace(b'"nbf":1', b'"nbf":Infinity'),
        b"c" + _client_claims(exp=int(NOW) + LONGEST_SECONDS + 1),
        b"i" + _claims(),
        b"i" + _claims(aud=["x", "voice"]),
        b"i" + _claims(aud=[["voice"]]),
        b"i" + _claims(sub=""),
        b"i" + _claims(sub="a\x1b[31m"),
        b"i" + _claims(nbf=1).replace(b'"nbf":1', b'"nbf":-Infinity'),
        b"i" + _claims(exp=1).replace(b'"exp":1', b'"exp":1e999'),
        b"i" + _claims(iat="1"),
        b"h" + _HEADER,
        b"h" + orjson.dumps({"alg": "none"}),
        b"h" + orjson.dumps({"alg": "EdDSA", "kid": "i1", "crit": ["b64"], "b64": False}),
        b"k" + orjson.dumps({"keys": [_JWK]}),
        b"k"
        + orjson.dumps(
            {"keys": [_RSA, _EC, {**_EC, "d": PLANTED}, {"kty": "oct", "k": PLANTED, "kid": "o"}]}
        ),
        b"k" + orjson.dumps({"keys": [{**_JWK, "use": "enc"}, {**_JWK, "key_ops": ["verify"]}, None]}),
        b"d" + orjson.dumps({"issuer": _TEAM.url, "jwks_uri": "https://sso.example/keys"}),
        b"d" + orjson.dumps({"issuer": _TEAM.url, "jwks_uri": "http://127.0.0.1:8000/keys"}),
        b"d" + orjson.dumps({"issuer": _TEAM.url, "jwks_uri": "http://sso.example/keys"}),
        b"d" + orjson.dumps({"issuer": PLANTED, "jwks_uri": 1}),
    ),
    words=(
        *(b'"iss"', b'"aud"', b'"sub"', b'"iat"', b'"exp"', b'"nbf"', b'"kty"', b'"crv"', b'"kid"', b'"alg"'),
        *(b'"use"', b'"key_ops"', b'"keys"', b'"jwks_uri"', b'"issuer"', b"Infinity", b"https://"),
    ),
)
