"""Client tokens: verified by any key of the ring, ended in time, and never taken for a handle."""

from __future__ import annotations

import secrets
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_decode, base64url_encode

from app.errors import InvalidHandle
from app.handles.client_tokens import AUDIENCE, CLIENT_TOKEN_TYPE, ISSUER, LONGEST_SECONDS, ClientTokens
from app.handles.keyring import SigningRing, parse_signing_ring
from app.handles.tokens import HandleIssuer, new_handle_id
from tests.unit.handles.forge import spellings
from tests.unit.values import another_letter

NOW: Final = 1_800_000_000.0
HMAC: Final = "h1:" + secrets.token_urlsafe(32)
ED: Final = "e1:ed25519." + secrets.token_urlsafe(32)
LETTERS: Final = "ABCxyz019_-"
RINGS: Final = {"HS256": parse_signing_ring(HMAC), "EdDSA": parse_signing_ring(ED)}


def signed_anew(text: str, claims: bytes) -> str:
    """The token with other claims under a true signature."""
    key = RINGS["EdDSA"].active.sign_with
    assert isinstance(key, Ed25519PrivateKey)
    signed = f"{text.partition('.')[0]}.{base64url_encode(claims).decode()}"
    return f"{signed}.{base64url_encode(key.sign(signed.encode())).decode()}"


def tokens(ring: SigningRing, at: float = NOW) -> ClientTokens:
    return ClientTokens(ring, clock=lambda: at)


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)
def test_a_token_stands_for_its_client_until_it_ends(ring: SigningRing) -> None:
    token = tokens(ring).issue("shop", seconds=900)
    assert tokens(ring).client_of(token.text) == "shop"
    assert tokens(ring, NOW + 899).client_of(token.text) == "shop"
    assert tokens(ring, NOW + 900).client_of(token.text) is None
    assert token.text not in repr(token)


def test_any_key_of_the_ring_verifies_and_no_other() -> None:
    token = tokens(RINGS["HS256"]).issue("shop", seconds=900).text
    assert tokens(parse_signing_ring(f"{ED},{HMAC}")).client_of(token) == "shop"
    assert tokens(RINGS["EdDSA"]).client_of(token) is None
    other = parse_signing_ring("h1:" + secrets.token_urlsafe(32))
    assert tokens(other).client_of(token) is None


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)
def test_neither_is_ever_taken_for_the_other(ring: SigningRing) -> None:
    handles = HandleIssuer(ring, prefix="ek_", clock=lambda: NOW)
    handle = handles.issue(new_handle_id(), expires_at=int(NOW) + 600)
    token = tokens(ring).issue("shop", seconds=600).text
    for text in (handle, handle.removeprefix("ek_")):
        assert tokens(ring).client_of(text) is None
    for text in (token, f"ek_{token}"):
        with pytest.raises(InvalidHandle):
            handles.verify(text, allow_expired=True)


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)
def test_a_token_has_exactly_one_spelling(ring: SigningRing) -> None:
    token = tokens(ring).issue("shop", seconds=600).text
    signed, _, signature = token.rpartition(".")
    assert len(spellings(signature)) > 3
    for spelling in spellings(signature):
        assert tokens(ring).client_of(f"{signed}.{spelling}") is None


@pytest.mark.parametrize("literal", ["Infinity", "-Infinity", "NaN"])
def test_a_time_that_is_no_number_is_nobodys_token(literal: str) -> None:
    text = tokens(RINGS["EdDSA"]).issue("shop", seconds=600).text
    claims = base64url_decode(text.split(".")[1]).replace(b"}", f',"nbf":{literal}}}'.encode())
    assert tokens(RINGS["EdDSA"]).client_of(signed_anew(text, claims)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "cloakroom"},
        {"aud": [AUDIENCE]},
        {"iss": "cloakroom"},
        {"exp": int(NOW) + LONGEST_SECONDS + 1},
        {"exp": True},
        {"exp": str(int(NOW) + 60)},
        {"iat": int(NOW) + 61, "exp": int(NOW) + 120},
        {"iat": None},
        {"jti": None},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_claims_that_we_do_not_write_are_refused(change: dict[str, Any]) -> None:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "jti": "x",
    }
    assert tokens(RINGS["HS256"]).client_of(signed(claims)) == "shop"
    changed = {name: value for name, value in {**claims, **change}.items() if value is not None}
    assert tokens(RINGS["HS256"]).client_of(signed(changed)) is None


def signed(claims: dict[str, Any]) -> str:
    """A token by the ring's key, with the header in our spelling."""
    real = tokens(RINGS["HS256"]).issue("shop", seconds=60).text
    header = real.partition(".")[0]
    body = jwt.utils.base64url_encode(__import__("orjson").dumps(claims)).decode()
    key = RINGS["HS256"].active
    algorithm = jwt.PyJWS().get_algorithm_by_name("HS256")
    signature = algorithm.sign(f"{header}.{body}".encode(), key.sign_with)
    return f"{header}.{body}.{jwt.utils.base64url_encode(signature).decode()}"


def test_the_type_is_part_of_what_is_signed() -> None:
    header = jwt.get_unverified_header(tokens(RINGS["HS256"]).issue("shop", seconds=60).text)
    assert header == {"alg": "HS256", "kid": "h1", "typ": CLIENT_TOKEN_TYPE}


@given(
    st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,90}")
)
def test_any_other_text_is_nobody(text: str) -> None:
    assert tokens(RINGS["HS256"]).client_of(text) is None


@given(st.data())
def test_a_changed_letter_is_nobodys_token(data: st.DataObject) -> None:
    text = tokens(RINGS["EdDSA"]).issue("shop", seconds=60).text
    place = data.draw(st.integers(0, len(text) - 2))
    letter = another_letter(text[place], LETTERS, data.draw(st.integers(0, len(LETTERS) - 1)))
    assert tokens(RINGS["EdDSA"]).client_of(text[:place] + letter + text[place + 1 :]) is None
