"""Tokens of other issuers: the verdict is PyJWT's, over a key that is bound to its algorithm."""

from __future__ import annotations

import time
from typing import Any, Final

import jwt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from app.identity.issuers import Issuer, Rule, Users, VerifiedToken, client_of_user, client_of_workload, fits
from app.identity.keys import KeysRefused, read_discovery, read_keys
from app.identity.tokens import TokenRefused, read_unverified, verify, wanted_key
from app.sandbox.issuer import ALGORITHMS, SigningKey
from app.sandbox.issuer import Issuer as Provider
from app.sandbox.keys import ProviderClock
from tests.support.issuer import claims_of, segment
from tests.unit.values import another_letter

LETTERS: Final = "ABCxyz019_-."
URL: Final = "https://sso.example/acme"
ISSUER: Final = Issuer("team", URL, ("cloakroom", "voice"), ("RS256", "PS256", "ES256", "ES384", "EdDSA"))
PROVIDER: Final = Provider(ProviderClock())
KEYS: Final = {name: PROVIDER.rotate(name) for name in ("RS256", "PS256", "ES256", "ES384", "EdDSA")}


def sign(key: SigningKey, header: dict[str, Any] | None = None, **claims: Any) -> str:
    whole = {name: value for name, value in {**claims_of(URL), **claims}.items() if value is not None}
    return jwt.encode(whole, key.private, algorithm=key.algorithm, headers={"kid": key.kid, **(header or {})})


def judged(text: str, issuer: Issuer = ISSUER) -> VerifiedToken:
    """As the service goes about it."""
    unverified = read_unverified(text)
    assert unverified is not None
    key = read_keys(issuer, orjson.dumps(PROVIDER.jwks())).find(*wanted_key(issuer, unverified))
    if key is None:
        raise TokenRefused("key")
    return verify(issuer, unverified, key)


def refusal(text: str, issuer: Issuer = ISSUER) -> str:
    with pytest.raises(TokenRefused) as caught:
        judged(text, issuer)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_every_algorithm_is_verified(algorithm: str) -> None:
    token = judged(sign(KEYS[algorithm], aud=["other", "voice"]))
    assert (token.subject, token.issuer) == ("ada", ISSUER)
    assert token.expires_at > time.time()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_that_is_not_configured_is_none_whoever_signs(algorithm: str) -> None:
    narrow = Issuer("team", URL, ("cloakroom",), ("EdDSA",))
    key = SigningKey("k", algorithm, Provider(ProviderClock()).rotate(algorithm).private)
    assert refusal(sign(key), narrow) == ("key" if algorithm == "EdDSA" else "algorithm")


def test_a_key_verifies_only_the_algorithm_that_it_says() -> None:
    """RS256 and PS256 are both configured, and each RSA key of the set names one of them."""
    swapped = SigningKey(KEYS["RS256"].kid, "PS256", KEYS["RS256"].private)
    assert refusal(sign(swapped)) == "key"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_the_usual_types_are_taken(kind: str | None) -> None:
    assert judged(sign(KEYS["ES256"], {"typ": kind})).subject == "ada"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": ["x"], "x": 1}])
def test_an_extension_that_is_critical_and_not_known_is_refused(header: dict[str, Any]) -> None:
    text = sign(KEYS["ES256"], header)
    assert read_unverified(text) is None or refusal(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_is_no_token(text: str) -> None:
    assert read_unverified(text) is None


@pytest.mark.parametrize("depth", [10, 900, 1100, 1500])
@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_of_any_depth_is_read_or_is_no_token(depth: int, part: str) -> None:
    nested = base64url_encode(
        b'{"iss":' + b"[" * depth + b"]" * depth + b"}" if part == "claims" else b"[" * depth
    )
    header, claims = segment({"alg": "ES256", "kid": "k"}), segment(claims_of(URL))
    text = f"{nested.decode()}.{claims}." if part == "header" else f"{header}.{nested.decode()}."
    assert read_unverified(text) is None


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES: Final = st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "jti"])


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_claims_of_any_shape_that_the_issuer_signs_are_judged_and_never_raise_anything_else(
    claims: dict[str, Any],
) -> None:
    body = orjson.dumps({**claims_of(URL), **claims})
    text = jwt.PyJWS().encode(
        body, KEYS["ES256"].private, algorithm="ES256", headers={"kid": KEYS["ES256"].kid}
    )
    unverified = read_unverified(text)
    if unverified is None:
        return
    try:
        token = judged(text)
    except TokenRefused:
        return
    assert token.claims["iss"] == URL
    assert token.subject == token.claims["sub"]
    assert token.expires_at > time.time() - 60


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64"]), JSON, max_size=4))
def test_a_header_of_any_shape_is_judged(header: dict[str, Any]) -> None:
    whole = {"alg": "ES256", "kid": KEYS["ES256"].kid, **header}
    text = f"{segment(whole)}.{segment(claims_of(URL))}.{'A' * 86}"
    unverified = read_unverified(text)
    if unverified is not None:
        refusal(text)


@given(st.data())
def test_no_changed_letter_is_accepted(data: st.DataObject) -> None:
    text = sign(KEYS["EdDSA"])
    place = data.draw(st.integers(0, len(text) - 2))
    letter = another_letter(text[place], LETTERS, data.draw(st.integers(0, len(LETTERS) - 1)))
    changed = text[:place] + letter + text[place + 1 :]
    unverified = read_unverified(changed)
    if unverified is not None and unverified.issuer == URL:
        refusal(changed)


# --- keys -----------------------------------------------------------------------------------------


def public(algorithm: str, **more: Any) -> dict[str, Any]:
    return {
        name: value for name, value in {**KEYS[algorithm].public_jwk(), **more}.items() if value is not None
    }


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "kid": "x", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        public("ES256", use="enc"),
        public("ES256", key_ops=["sign"]),
        public("ES256", kid=None),
        public("ES256", kid=7),
        public("ES256", alg="ES512"),
        public("ES256", alg="none"),
        public("ES256", crv="secp256k1", alg=None),
        public("ES256", d="AA"),
        public("ES256", x="AA"),
        public("RS256", alg="HS256"),
        public("RS256", n="AQAB"),
        public("EdDSA", crv="X25519"),
        {"kty": "RSA"},
        "text",
        None,
        [],
    ],
)
def test_a_key_that_must_not_verify_is_left_out(jwk: Any) -> None:
    with pytest.raises(KeysRefused):
        read_keys(ISSUER, orjson.dumps({"keys": [jwk]}))
    both = read_keys(ISSUER, orjson.dumps({"keys": [jwk, public("EdDSA")]}))
    assert both.kids == [KEYS["EdDSA"].kid]
    assert both.unusable == 1


def test_a_key_that_names_no_algorithm_is_bound_to_each_one_that_it_can_have() -> None:
    keys = read_keys(ISSUER, orjson.dumps({"keys": [public("RS256", alg=None)]}))
    assert keys.algorithms == ["PS256", "RS256"]


def test_short_rsa_keys_are_not_used() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = SigningKey("weak", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024))
    with pytest.raises(KeysRefused):
        read_keys(ISSUER, orjson.dumps({"keys": [weak.public_jwk()]}))


@given(st.binary(max_size=60) | JSON.map(lambda value: orjson.dumps({"keys": value})))
def test_a_document_of_any_shape_is_refused_with_a_clause(body: bytes) -> None:
    with pytest.raises(KeysRefused):
        read_keys(ISSUER, body)
    with pytest.raises(KeysRefused):
        read_discovery(ISSUER, body)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": URL + "/", "jwks_uri": "https://sso.example/jwks"},
        {"issuer": URL},
        {"issuer": URL, "jwks_uri": "http://sso.example/jwks"},
        {"issuer": URL, "jwks_uri": "file:///etc/passwd"},
        {"issuer": URL, "jwks_uri": ["https://sso.example/jwks"]},
    ],
)
def test_a_discovery_document_must_be_the_issuers_and_lead_to_a_safe_place(document: Any) -> None:
    with pytest.raises(KeysRefused):
        read_discovery(ISSUER, orjson.dumps(document))


# --- what a token stands for ----------------------------------------------------------------------


def token(subject: str = "ada", issuer: Issuer = ISSUER, **claims: Any) -> VerifiedToken:
    return with_claims(claims, subject, issuer)


def with_claims(claims: dict[str, Any], subject: str = "ada", issuer: Issuer = ISSUER) -> VerifiedToken:
    return VerifiedToken(issuer, subject, 0.0, claims)


def test_the_first_value_in_the_order_of_the_settings_picks_the_client() -> None:
    users = Users("basic", "roles", {"gold": "a", "silver": "b"})
    assert client_of_user(users, token(roles=["silver", "gold"])) == "a"
    assert client_of_user(users, token(roles="silver")) == "b"
    for other in (None, [], "bronze", 7, {"gold": 1}, [["gold"]]):
        assert client_of_user(users, token(roles=other)) == "basic"


def test_a_claim_has_its_whole_name_before_it_is_a_path() -> None:
    users = Users(None, "https://a.example/plan", {"gold": "a"})
    assert client_of_user(users, with_claims({"https://a.example/plan": "gold"})) == "a"
    nested = Users(None, "a.b", {"gold": "x"})
    assert client_of_user(nested, token(a={"b": "gold"})) == "x"
    assert client_of_user(nested, with_claims({"a.b": "silver", "a": {"b": "gold"}})) is None


@given(st.text(alphabet="abc:/*.", min_size=1, max_size=12), st.text(alphabet="abc:/.", max_size=20))
def test_a_star_stands_for_any_text_and_all_else_for_itself(pattern: str, subject: str) -> None:
    parts = pattern.split("*")
    if len(parts) == 1:
        assert fits(pattern, subject) == (pattern == subject)
        return
    long_enough = len(subject) >= len(parts[0]) + len(parts[-1])
    ends_fit = subject.startswith(parts[0]) and subject.endswith(parts[-1]) and long_enough
    if len(parts) == 2:
        assert fits(pattern, subject) == ends_fit
    elif not ends_fit:
        assert not fits(pattern, subject)


def test_rules_are_tried_in_order_and_may_want_an_audience() -> None:
    rules = (Rule("a:b", "exact"), Rule("a:*", "ci", "ci"), Rule("a:*", "rest"))
    issuer = Issuer("cluster", URL, ("x", "ci"), ("RS256",), rules=rules)
    assert client_of_workload(token("a:b", issuer, aud="x")) == "exact"
    assert client_of_workload(token("a:c", issuer, aud=["y", "ci"])) == "ci"
    assert client_of_workload(token("a:c", issuer, aud="x")) == "rest"
    assert client_of_workload(token("b:c", issuer, aud="x")) is None
