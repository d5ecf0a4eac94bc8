"""Whatever is almost a handle is refused, with one message that never says which check failed."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.errors import HandleExpired, InvalidHandle
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import CLOCK_SKEW_SECONDS, HandleIssuer
from app.models import MAX_KEY_SECONDS
from tests.unit.handles.forge import CLAIMS, HEADER, RING, b64, last_letters, signed, spellings, without
from tests.unit.values import NOW, ed25519_ring, ring, ring_secret

OURS = HandleIssuer(parse_signing_ring(RING), prefix="ek_", clock=lambda: NOW)
GOOD = signed()


def refused(token: str, ours: HandleIssuer = OURS) -> str:
    with pytest.raises(InvalidHandle) as error:
        ours.verify(token)
    assert error.value.status == 401
    return error.value.message


def test_the_tool_of_these_tests_makes_handles_that_are_taken() -> None:
    assert OURS.verify(GOOD).id == CLAIMS["jti"]


def test_every_refusal_reads_the_same() -> None:
    messages = {
        refused("x"),
        refused(GOOD[:-4]),
        refused(signed(key=b"k" * 32)),
        refused(signed(claims={**CLAIMS, "aud": "other"})),
        refused(signed(header={**HEADER, "kid": "other"})),
    }
    assert len(messages) == 1


# --- the signature ------------------------------------------------------------------------------


def test_a_signature_of_another_key_is_refused() -> None:
    refused(signed(key=parse_signing_ring(f"k1:{ring_secret('somebody else')}").active.sign_with))


def test_a_handle_cut_short_at_any_length_is_refused() -> None:
    for length in range(len(GOOD)):
        refused(GOOD[:length])
        refused("ek_" + GOOD[:length])


@pytest.mark.parametrize("signature", ["", b64(b""), GOOD.rpartition(".")[2]])
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none_is_refused_with_and_without_a_signature(algorithm: str, signature: str) -> None:
    payload = GOOD.split(".")[1]
    header = b64(b'{"alg":"%b","kid":"k1","typ":"handle+jwt"}' % algorithm.encode())
    refused(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize("encoding", ["raw", "pem", "der"])
def test_hs256_keyed_with_the_public_ed25519_key_is_refused(encoding: str) -> None:
    """Algorithm confusion: who knows the public key must not be able to sign with it."""
    keys = parse_signing_ring(ed25519_ring("k1"))
    public = keys.active.verify_with
    assert isinstance(public, Ed25519PublicKey)
    secret = {
        "raw": public.public_bytes_raw(),
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    }[encoding]
    ours = HandleIssuer(keys, prefix="ek_", clock=lambda: NOW)
    for algorithm in ("HS256", "EdDSA"):
        refused(signed(header={**HEADER, "alg": algorithm}, key=secret), ours)
    genuine = signed(header={**HEADER, "alg": "EdDSA"}, key=keys.active.sign_with)
    assert ours.verify(genuine).id == CLAIMS["jti"]


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_than_the_kid_s_is_refused_though_the_key_is_right(algorithm: str) -> None:
    refused(signed(header={**HEADER, "alg": algorithm}, algorithm=algorithm))
    refused(signed(header={**HEADER, "alg": algorithm}, algorithm="HS256"))


# --- header and claims --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        *(without(HEADER, name) for name in HEADER),
        *({**HEADER, "typ": value} for value in ("JWT", "at+jwt", "HANDLE+JWT", "handle+jwt ", None, 1)),
        *({**HEADER, "kid": value} for value in ("other", "", "K1", None, 1, ["k1"], {"k1": 1})),
        {**HEADER, "crit": ["exp"]},
        {**HEADER, "b64": False},
        {**HEADER, "jwk": {"kty": "oct", "k": "AAAA"}},
        {**HEADER, "jku": "https://evil.example/keys"},
        {**HEADER, "x5u": "https://evil.example/cert"},
        [HEADER],
        "handle+jwt, handle+jwt",
        b"not json at all, but long enough",
        b'{"alg":"HS256","kid":"k1","typ":"handle+jwt"',
        b"\xff\xfe" * 12,
    ],
)
def test_a_signed_token_with_any_other_header_is_refused(header: Any) -> None:
    refused(signed(header=header))


@pytest.mark.parametrize(
    "claims",
    [
        *(without(CLAIMS, name) for name in CLAIMS),
        {**CLAIMS, "model": "gpt-realtime-2.1"},
        {**CLAIMS, "nbf": int(NOW)},
        *({**CLAIMS, "aud": value} for value in ("other", "", None, ["cloakroom"], {"cloakroom": 1}, True)),
        *({**CLAIMS, "iss": value} for value in ("other", "", None, ["cloakroom"], "cloakroom ")),
        *({**CLAIMS, "exp": value} for value in (NOW + 600, str(int(NOW) + 600), True, None, [1], {"a": 1})),
        *({**CLAIMS, "exp": value} for value in (int(NOW) + 10**6, 2**63, 2**64 - 1, 10**30)),
        *({**CLAIMS, "iat": value} for value in (NOW, str(int(NOW)), True, None, [1], -1, 0)),
        {**CLAIMS, "iat": int(NOW) + CLOCK_SKEW_SECONDS + 1},
        *({**CLAIMS, "jti": value} for value in ("", "short", None, 5, True, [CLAIMS["jti"]], {"a": 1})),
        *({**CLAIMS, "jti": value} for value in ("A" * 23, "A" * 21 + "/", "A" * 21 + "}", "A" * 22 + "\n")),
        [CLAIMS],
        "a string that is long enough",
        b"not json at all, but long enough",
        b"\xff\xfe" * 12,
        b'{"a":' * 70 + b"1" + b"}" * 70,
    ],
)
def test_a_signed_token_with_any_other_claims_is_refused(claims: Any) -> None:
    refused(signed(claims=claims))


def test_no_handle_claims_to_outlive_a_key() -> None:
    longest = int(NOW) + MAX_KEY_SECONDS + CLOCK_SKEW_SECONDS
    assert OURS.verify(signed(claims={**CLAIMS, "exp": longest})).expires_at == longest
    refused(signed(claims={**CLAIMS, "exp": longest + 1}))


@pytest.mark.parametrize("expires_at", [int(NOW), int(NOW) - 1, 0, -5])
def test_a_signed_handle_past_its_time_is_expired_and_not_invalid(expires_at: int) -> None:
    """The browser is told to mint again; that its handle once was good is no secret."""
    with pytest.raises(HandleExpired):
        OURS.verify(signed(claims={**CLAIMS, "iat": int(NOW) - 700, "exp": expires_at}))


def test_an_expired_handle_with_a_false_signature_is_invalid() -> None:
    refused(signed(claims={**CLAIMS, "exp": int(NOW) - 1}, key=b"k" * 32))


# --- the spelling -------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("header", [HEADER, {**HEADER, "kid": "k12"}, {**HEADER, "kid": "k123"}])
def test_one_handle_has_exactly_one_spelling(index: int, header: dict[str, Any]) -> None:
    """Three key ids, so that the segments end in each of the ways that base64 has."""
    ours = HandleIssuer(parse_signing_ring(ring(header["kid"])), prefix="ek_", clock=lambda: NOW)
    token = signed(header=header, key=parse_signing_ring(ring(header["kid"])).active.sign_with)
    assert ours.verify(token).id == CLAIMS["jti"]
    parts = token.split(".")
    for spelling in spellings(parts[index]):
        refused(".".join([*parts[:index], spelling, *parts[index + 1 :]]), ours)


@pytest.mark.parametrize(("text", "letters"), [(RING, 4), (ed25519_ring("k1"), 16)])
def test_of_the_last_letters_that_decode_alike_only_the_canonical_one_is_taken(
    text: str, letters: int
) -> None:
    key = parse_signing_ring(text).active
    ours = HandleIssuer(parse_signing_ring(text), prefix="ek_", clock=lambda: NOW)
    token = signed(header={**HEADER, "alg": key.algorithm}, key=key.sign_with)
    alike = [token[:-1] + letter for letter in last_letters(token.rpartition(".")[2])]
    assert len(alike) == letters
    assert len({base64.urlsafe_b64decode(one.rpartition(".")[2] + "==") for one in alike}) == 1
    assert ours.verify(token).id == CLAIMS["jti"]
    for other in alike:
        if other != token:
            refused(other, ours)


@pytest.mark.parametrize(
    "template", [" {}", "{} ", "{}\n", "{}\r\n", "\t{}", "{}.", ".{}", "{}\0", "{}=", "“{}”"]
)
@pytest.mark.parametrize("prefix", ["", "ek_"])
def test_nothing_may_stand_around_a_handle(template: str, prefix: str) -> None:
    refused(template.format(prefix + GOOD))
    refused(prefix + template.format(GOOD))


@pytest.mark.parametrize(
    "text", ["", "ek_", "..", "a.b.c", GOOD.replace(".", ""), GOOD + "." + GOOD, GOOD * 50, "\udcff" * 60]
)
def test_text_that_is_no_token_is_refused(text: str) -> None:
    refused(text)


def test_another_replica_without_the_kid_refuses_it() -> None:
    refused(GOOD, HandleIssuer(parse_signing_ring(ring("k2")), prefix="ek_", clock=lambda: NOW))
