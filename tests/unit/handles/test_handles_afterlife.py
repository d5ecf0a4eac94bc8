"""Handles after their expiry: taken for an hour by whoever asks for that, and verified like any other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import HandleExpired, InvalidHandle
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import AFTERLIFE_SECONDS, CLOCK_SKEW_SECONDS, HandleIssuer
from app.models import MAX_KEY_SECONDS, HandleClaims
from tests.unit.handles.forge import CLAIMS, HANDLE_ID, HEADER, RING, signed, without
from tests.unit.values import NOW, ring, ring_secret

EXPIRES_AT = CLAIMS["exp"]


def issuer(now: float, text: str = RING) -> HandleIssuer:
    return HandleIssuer(parse_signing_ring(text), prefix="ek_", clock=lambda: now)


def test_an_expired_handle_is_taken_until_no_call_of_it_can_be_left() -> None:
    handle = issuer(NOW).issue(HANDLE_ID, expires_at=EXPIRES_AT)
    claims = HandleClaims(HANDLE_ID, expires_at=EXPIRES_AT)
    # OpenAI's longest session, and what two replicas' clocks may differ by.
    assert AFTERLIFE_SECONDS == 3600 + CLOCK_SKEW_SECONDS
    for late in (0, 1, AFTERLIFE_SECONDS - 1, AFTERLIFE_SECONDS - 0.001):
        assert issuer(EXPIRES_AT + late).verify(handle, allow_expired=True) == claims
    for late in (AFTERLIFE_SECONDS, AFTERLIFE_SECONDS + 1, 86_400, 10**9):
        with pytest.raises(HandleExpired):
            issuer(EXPIRES_AT + late).verify(handle, allow_expired=True)


def test_an_expired_handle_is_refused_by_whoever_does_not_ask() -> None:
    handle = issuer(NOW).issue(HANDLE_ID, expires_at=EXPIRES_AT)
    for late in (0, 1, AFTERLIFE_SECONDS - 1):
        with pytest.raises(HandleExpired):
            issuer(EXPIRES_AT + late).verify(handle)


@given(at=st.floats(NOW - CLOCK_SKEW_SECONDS, EXPIRES_AT, exclude_max=True))
def test_while_it_is_alive_asking_changes_nothing(at: float) -> None:
    handle = signed()
    assert issuer(at).verify(handle, allow_expired=True) == issuer(at).verify(handle)


OTHERS = {
    "another key": signed(key=ring_secret("another").encode()),
    "another typ": signed({**HEADER, "typ": "JWT"}),
    "another kid": signed({**HEADER, "kid": "k2"}),
    "another algorithm": signed({**HEADER, "alg": "HS512"}, algorithm="HS512"),
    "another audience": signed(claims={**CLAIMS, "aud": "somebody-else"}),
    "an audience in a list": signed(claims={**CLAIMS, "aud": [CLAIMS["aud"]]}),
    "another issuer": signed(claims={**CLAIMS, "iss": "somebody-else"}),
    "an id that is none": signed(claims={**CLAIMS, "jti": "../../etc"}),
    "no id": signed(claims=without(CLAIMS, "jti")),
    "no expiry": signed(claims=without(CLAIMS, "exp")),
    "an expiry that is no number": signed(claims={**CLAIMS, "exp": str(EXPIRES_AT)}),
    "one claim more": signed(claims={**CLAIMS, "admin": True}),
    "more life than a key has": signed(
        claims={**CLAIMS, "exp": CLAIMS["iat"] + MAX_KEY_SECONDS + CLOCK_SKEW_SECONDS + 1}
    ),
    "half of it": signed()[: len(signed()) // 2],
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("late", [-300, 1, AFTERLIFE_SECONDS - 1, 2 * AFTERLIFE_SECONDS])
def test_everything_else_is_verified_all_the_same(what: str, late: int) -> None:
    assert issuer(EXPIRES_AT + 1).verify(signed(), allow_expired=True).id == HANDLE_ID
    with pytest.raises(InvalidHandle):
        issuer(EXPIRES_AT + late).verify(OTHERS[what], allow_expired=True)


def test_a_signing_key_that_was_retired_ends_the_afterlife_too() -> None:
    handle = issuer(NOW).issue(HANDLE_ID, expires_at=EXPIRES_AT)
    with pytest.raises(InvalidHandle):
        issuer(EXPIRES_AT + 1, ring("k2")).verify(handle, allow_expired=True)
