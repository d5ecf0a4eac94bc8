"""Handles that are ours: what they hold, how long they live, and how the signing keys rotate."""

from __future__ import annotations

import base64
import json
import secrets

import jwt
import pytest

from app.errors import HandleExpired, InvalidHandle
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import (
    AUDIENCE,
    CLOCK_SKEW_SECONDS,
    HANDLE_TYPE,
    ISSUER,
    HandleIssuer,
    has_proof,
    is_bound,
    new_bound_handle_id,
    new_handle_id,
)
from app.models import HandleClaims
from tests.unit.values import NOW, ed25519_ring, ring

LIFE = 600
RINGS = {"HS256": ring("k1"), "EdDSA": ed25519_ring("k1")}
algorithms = pytest.mark.parametrize("algorithm", list(RINGS))


def issuer(text: str = RINGS["HS256"], *, prefix: str = "ek_", now: float = NOW) -> HandleIssuer:
    return HandleIssuer(parse_signing_ring(text), prefix=prefix, clock=lambda: now)


def segment(handle: str, index: int) -> dict[str, object]:
    text = handle.removeprefix("ek_").split(".")[index]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


@algorithms
def test_a_handle_verifies_to_the_id_and_expiry_that_it_was_issued_with(algorithm: str) -> None:
    ours, handle_id = issuer(RINGS[algorithm]), new_handle_id()
    handle = ours.issue(handle_id, expires_at=int(NOW) + LIFE)
    assert ours.verify(handle) == HandleClaims(id=handle_id, expires_at=int(NOW) + LIFE)


@algorithms
def test_the_payload_has_five_claims_and_tells_its_bearer_nothing(algorithm: str) -> None:
    handle_id = new_handle_id()
    handle = issuer(RINGS[algorithm]).issue(handle_id, expires_at=int(NOW) + LIFE)
    assert segment(handle, 1) == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": int(NOW),
        "exp": int(NOW) + LIFE,
        "jti": handle_id,
    }


@algorithms
def test_the_header_pins_type_key_and_algorithm_and_holds_nothing_else(algorithm: str) -> None:
    handle = issuer(RINGS[algorithm]).issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert segment(handle, 0) == {"alg": algorithm, "kid": "k1", "typ": HANDLE_TYPE}


def test_handle_ids_are_128_random_bits() -> None:
    ids = {new_handle_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(base64.urlsafe_b64decode(one + "==")) for one in ids} == {16}


def test_an_id_says_that_its_record_has_a_proof_and_those_of_older_releases_do_not() -> None:
    assert all(has_proof(new_handle_id()) for _ in range(100))
    assert not any(has_proof(secrets.token_urlsafe(16)) for _ in range(100))
    assert not has_proof("")


def test_the_id_of_a_handle_that_is_bound_to_a_certificate_says_so_and_is_as_any_other() -> None:
    bound, others = [new_bound_handle_id() for _ in range(100)], [new_handle_id() for _ in range(100)]
    assert all(is_bound(handle_id) and has_proof(handle_id) for handle_id in bound)
    assert not any(is_bound(handle_id) for handle_id in (*others, "", "A" * 22))
    assert len({handle_id[:21] for handle_id in bound}) == 100
    handle = issuer(RINGS["HS256"]).issue(bound[0], expires_at=int(NOW) + LIFE)
    assert issuer(RINGS["HS256"]).verify(handle).id == bound[0]


@algorithms
def test_a_handle_fits_into_a_header_line(algorithm: str) -> None:
    assert len(issuer(RINGS[algorithm]).issue(new_handle_id(), expires_at=int(NOW) + LIFE)) < 512


# --- the prefix ---------------------------------------------------------------------------------


def test_a_handle_begins_as_the_official_sdk_wants_and_is_taken_without_the_prefix_too() -> None:
    ours = issuer()
    handle = ours.issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert handle.startswith("ek_eyJ")
    assert ours.verify(handle) == ours.verify(handle.removeprefix("ek_"))


@pytest.mark.parametrize("prefix", ["ek_ek_", "EK_", "sk_", "ek-", " ek_", "ek_ "])
def test_a_doubled_or_foreign_prefix_is_refused(prefix: str) -> None:
    ours = issuer()
    token = ours.issue(new_handle_id(), expires_at=int(NOW) + LIFE).removeprefix("ek_")
    with pytest.raises(InvalidHandle):
        ours.verify(prefix + token)


def test_without_a_prefix_setting_a_handle_is_the_bare_jwt() -> None:
    ours = issuer(prefix="")
    handle = ours.issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert handle.startswith("eyJ")
    assert ours.verify(handle).expires_at == int(NOW) + LIFE


# --- the clock ----------------------------------------------------------------------------------


def test_a_handle_is_alive_until_its_last_moment_and_expired_from_its_expiry_on() -> None:
    expires_at = int(NOW) + LIFE
    handle = issuer().issue(new_handle_id(), expires_at=expires_at)
    assert issuer(now=expires_at - 0.001).verify(handle).expires_at == expires_at
    for late in (expires_at, expires_at + 0.001, expires_at + 86_400):
        with pytest.raises(HandleExpired):
            issuer(now=late).verify(handle)


def test_a_replica_whose_clock_is_a_little_behind_takes_a_fresh_handle() -> None:
    handle = issuer().issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert issuer(now=NOW - CLOCK_SKEW_SECONDS).verify(handle).expires_at == int(NOW) + LIFE


def test_a_handle_from_further_in_the_future_is_refused() -> None:
    handle = issuer().issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    with pytest.raises(InvalidHandle):
        issuer(now=NOW - CLOCK_SKEW_SECONDS - 1).verify(handle)


# --- rotation -----------------------------------------------------------------------------------


def test_a_handle_of_the_old_key_verifies_while_that_key_is_in_the_ring_and_not_after() -> None:
    handle = issuer(ring("old")).issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    for during in (ring("old", "new"), ring("new", "old")):
        assert issuer(during).verify(handle).expires_at == int(NOW) + LIFE
    with pytest.raises(InvalidHandle):
        issuer(ring("new")).verify(handle)


def test_the_first_key_of_the_ring_signs() -> None:
    handle = issuer(ring("new", "old")).issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert segment(handle, 0)["kid"] == "new"


def test_a_ring_may_move_from_one_algorithm_to_the_other_with_handles_alive() -> None:
    hmac, eddsa = ring("h"), ed25519_ring("e")
    first = issuer(hmac).issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    moved = issuer(f"{eddsa},{hmac}")
    second = moved.issue(new_handle_id(), expires_at=int(NOW) + LIFE)
    assert segment(second, 0)["alg"] == "EdDSA"
    assert moved.verify(first).expires_at == moved.verify(second).expires_at


@pytest.mark.parametrize(
    "order",
    [("typ", "kid", "alg"), ("alg", "typ", "kid"), ("kid", "alg", "typ")],
)
def test_a_header_that_another_replica_spells_in_another_order_verifies(order: tuple[str, ...]) -> None:
    """Replicas of two releases run side by side, and PyJWT has changed the order before."""
    values = {"alg": "HS256", "typ": HANDLE_TYPE, "kid": "k1"}
    header = json.dumps({name: values[name] for name in order}).encode()
    handle_id = new_handle_id()
    payload = json.dumps(
        {"jti": handle_id, "exp": int(NOW) + LIFE, "iat": int(NOW), "aud": AUDIENCE, "iss": ISSUER}, indent=1
    ).encode()
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    key = parse_signing_ring(RINGS["HS256"]).active.sign_with
    signature = jwt.PyJWS().get_algorithm_by_name("HS256").sign(signed, key)
    token = signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    assert issuer().verify(token.decode()) == HandleClaims(id=handle_id, expires_at=int(NOW) + LIFE)
