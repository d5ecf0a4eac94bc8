"""What an operator pastes: found in every form, and what is no handle is refused without being repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.arguments import read_call_id, read_unverified
from app.cli.failure import CliFailure
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import HandleIssuer
from tests.unit.cli.values import HANDLE_ID, token

TOKEN = token({"iss": "cloakroom", "aud": "cloakroom", "iat": 1, "exp": 1_800_000_600, "jti": HANDLE_ID})
BARE = TOKEN.removeprefix("ek_")


@pytest.mark.parametrize(
    "pasted",
    [
        TOKEN,
        BARE,
        f"other-prefix_{BARE}",
        f"Bearer {TOKEN}",
        f"bearer {BARE}\n",
        f"Authorization: Bearer {TOKEN}",
        f"authorization:bearer {TOKEN}",
        f"'Authorization: Bearer {TOKEN}' \\\n",
        f'  "{TOKEN}"\r\n',
        f"`{TOKEN}`",
        f"curl -H 'Authorization: Bearer {TOKEN}' https://voice.example.com",
        TOKEN[:60] + "\n" + TOKEN[60:110] + "\n  " + TOKEN[110:],
    ],
)
def test_a_handle_is_found_in_whatever_it_was_pasted_with(pasted: str) -> None:
    found = read_unverified(pasted)
    assert found.id == HANDLE_ID
    assert found.unverified_expires_at == 1_800_000_600


@pytest.mark.parametrize(
    "pasted",
    [
        HANDLE_ID,
        f" '{HANDLE_ID}'\n",
        f"{{{HANDLE_ID}}}",
        f"cloakroom:handle:{{{HANDLE_ID}}}",
        "-" * 22,
        "_" * 22,
    ],
)
def test_an_id_is_taken_bare_and_as_a_redis_key(pasted: str) -> None:
    found = read_unverified(pasted)
    assert found.id in (HANDLE_ID, "-" * 22, "_" * 22)
    assert found.unverified_expires_at is None


def test_what_the_service_signs_is_what_is_read() -> None:
    ring = parse_signing_ring("k1:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH")
    handle = HandleIssuer(ring, prefix="ek_", clock=lambda: 1_800_000_000.0).issue(
        HANDLE_ID, expires_at=1_800_000_600
    )
    found = read_unverified(f"Authorization: Bearer {handle}")
    assert (found.id, found.unverified_expires_at) == (HANDLE_ID, 1_800_000_600)


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "   ",
        "short",
        "sk-proj-0123456789abcdefghij0123456789",
        "ek_68af296e8e408191a1120ab6383263c2",
        "x" * 23,
        "eyJhbGciOiJIUzI1NiJ9.bm90IGpzb24.c2lnbmF0dXJl",
        token([1, 2]),
        token({"sub": "somebody"}),
        token({"jti": 7}),
        token({"jti": "too short"}),
        token({"jti": HANDLE_ID + "/../x"}),
        "eyJhbGciOiJIUzI1NiJ9." + "WyJbWyJb" * 70 + ".c2lnbmF0dXJl",
    ],
)
def test_what_is_no_handle_is_refused_and_not_repeated(pasted: str) -> None:
    with pytest.raises(CliFailure) as refused:
        read_unverified(pasted)
    assert refused.value.status == 2
    if len(pasted.strip()) > 8:
        assert pasted.strip() not in str(refused.value)


@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_no_text_breaks_the_reading(pasted: str) -> None:
    for text in (pasted, f"eyJhbGciOiJI.{pasted}.c2lnbmF0dXJl"):
        try:
            found = read_unverified(text)
        except CliFailure:
            continue
        assert len(found.id) == 22


def test_an_expiry_that_is_no_number_is_left_out() -> None:
    for odd in (True, "soon", 1.5, None):
        assert read_unverified(token({"jti": HANDLE_ID, "exp": odd})).unverified_expires_at is None


@pytest.mark.parametrize(
    "pasted",
    [
        "rtc_abc",
        "/v1/realtime/calls/rtc_abc",
        "Location: /v1/realtime/calls/rtc_abc\r\n",
        "https://voice.example.com/v1/realtime/calls/rtc_abc/hangup",
        "'rtc_abc'",
    ],
)
def test_a_call_is_found_by_its_id_and_by_its_location(pasted: str) -> None:
    assert read_call_id(pasted) == "rtc_abc"


@pytest.mark.parametrize("pasted", ["", "/", TOKEN, f"Bearer {BARE}", "a b\u00e9", "x" * 400])
def test_what_is_no_call_id_is_refused_and_not_repeated(pasted: str) -> None:
    with pytest.raises(CliFailure) as refused:
        read_call_id(pasted)
    assert refused.value.status == 2
    assert BARE not in str(refused.value)
