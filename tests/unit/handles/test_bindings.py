"""What a handle may be bound to, and which fingerprints an offer carries: no spelling hides another one."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.handles import bindings
from app.handles.bindings import (
    MOST_FINGERPRINTS,
    canonical_fingerprint,
    canonical_origin,
    parse_binding,
    shown_binding,
)
from app.models import Binding
from app.store.records.bearers import packed, unpacked
from tests.support.offers import BROWSER_CERTIFICATE, BROWSER_OFFER

OFFER: Final = BROWSER_OFFER.decode()
OWN: Final = BROWSER_CERTIFICATE
LINE: Final = f"a=fingerprint:{OWN}\r\n"
OTHER: Final = "sha-256 " + ":".join(["AB"] * 32)
LONGER: Final = {"sha-384": "sha-384 " + ":".join(["CD"] * 48), "sha-512": "sha-512 " + ":".join(["EF"] * 64)}
APP: Final = "https://app.example.com"

NO_ORIGINS: Final[list[Any]] = [
    "",
    "null",
    "app.example.com",
    "https://",
    f"{APP}/",
    f"{APP}/path",
    f"{APP}?x",
    f"{APP}\n",
    f" {APP}",
    "https://a@b.example",
    "https://a..b",
    "https://ä.example",
    "https://a.example:0",
    "https://a.example:123456",
    "https://" + "a" * 300,
    "*",
    "https://*.example.com",
    5,
    True,
    [APP],
    {},
]
NO_FINGERPRINTS: Final[list[Any]] = [
    "",
    OWN.removeprefix("sha-256 "),
    OWN[:-3],
    f"{OWN}:00",
    OWN.replace(":", ""),
    f"{OWN} ",
    f" {OWN}",
    f"{OWN}\n",
    OWN.replace(" ", "  "),
    OWN.replace("sha-256", "sha-512"),
    "sha-1 " + ":".join(["AB"] * 20),
    "md5 " + ":".join(["AB"] * 16),
    OWN.replace("7", "G"),
    f"a=fingerprint:{OWN}",
    5,
    True,
    {},
    [],
    [5],
    [OWN, "x"],
    [None],
    [OWN] * (MOST_FINGERPRINTS + 1),
]


def fingerprints_of(sdp: str) -> str:
    return bindings.fingerprints_of(sdp.encode())


def first_fingerprint(sdp: str) -> str:
    return bindings.first_fingerprint(sdp.encode())


digits = st.binary(min_size=32, max_size=32).map(lambda raw: ":".join(f"{byte:02x}" for byte in raw))


def refused(value: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        parse_binding(value)
    assert (error.value.status, error.value.code) == (400, "invalid_request")
    return error.value


# --- the field of the mint -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, {}, {"origin": None}, {"fingerprint": None}])
def test_without_a_value_it_binds_to_nothing(value: Any) -> None:
    binding = parse_binding(value)
    assert binding == Binding()
    assert not binding
    assert shown_binding(binding) == {}


def test_either_part_alone_is_fine_and_the_answer_shows_just_that() -> None:
    for value in ({"origin": APP}, {"fingerprint": OWN}, {"origin": APP, "fingerprint": OWN}):
        binding = parse_binding(value)
        assert binding
        assert shown_binding(binding) == value


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        (None, APP),
        ({}, APP),
        ({"fingerprint": OWN}, APP),
        ({"origin": None}, ""),
        ({"origin": "https://b.example"}, "https://b.example"),
    ],
)
def test_the_usual_origin_holds_unless_the_field_says_otherwise(value: Any, origin: str) -> None:
    assert parse_binding(value, usual_origin=APP).origin == origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.com", APP),
        ("HTTPS://App.Example.com", APP),
        ("https://app.example.com:443", APP),
        ("http://localhost:80", "http://localhost"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
    ],
)
def test_an_origin_has_one_form(text: str, origin: str) -> None:
    assert parse_binding({"origin": text}).origin == canonical_origin(text) == origin


@pytest.mark.parametrize("value", NO_ORIGINS)
def test_what_is_no_origin_is_refused_by_its_name(value: Any) -> None:
    assert refused({"origin": value}).param == "bind.origin"


@pytest.mark.parametrize("value", ["", "x", 5, True, [], [{}]])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert refused(value).param == "bind"


def test_an_unknown_field_is_refused_by_its_name() -> None:
    assert refused({"address": "192.0.2.1"}).param == "bind.address"


@pytest.mark.parametrize("value", NO_FINGERPRINTS)
def test_what_is_no_fingerprint_or_a_weak_one_is_refused_by_its_name(value: Any) -> None:
    assert refused({"fingerprint": value}).param == "bind.fingerprint"


def test_several_of_one_certificate_are_bound_in_one_order() -> None:
    several = [LONGER["sha-512"], OWN.lower(), LONGER["sha-384"], OWN]
    binding = parse_binding({"fingerprint": several})
    assert binding == parse_binding({"fingerprint": [OWN, LONGER["sha-384"], LONGER["sha-512"]]})
    assert shown_binding(binding) == {"fingerprint": [OWN, LONGER["sha-384"], LONGER["sha-512"]]}
    assert parse_binding({"fingerprint": [OWN]}) == parse_binding({"fingerprint": OWN})


@given(digits)
def test_a_fingerprint_has_one_form_also_on_the_record(found: str) -> None:
    canonical = canonical_fingerprint(f"SHA-256 {found}")
    assert canonical == f"sha-256 {found.upper()}"
    assert len(packed(canonical)) == 64
    assert unpacked(packed(canonical)) == canonical


@pytest.mark.parametrize("text", ["", "unclear", LONGER["sha-384"], LONGER["sha-512"], f"{OWN}, {OTHER}"])
def test_what_is_no_single_sha_256_is_on_the_record_as_it_is(text: str) -> None:
    assert unpacked(packed(text)) == packed(text) == text


# --- the offer -----------------------------------------------------------------------------------


def test_a_browsers_offer_carries_its_one_certificate() -> None:
    assert OFFER.count(LINE) == 2
    assert fingerprints_of(OFFER) == OWN
    assert fingerprints_of(OFFER.replace("\r\n", "\n")) == OWN
    assert fingerprints_of(OFFER.replace(OWN, OWN.lower())) == OWN


def test_the_session_level_counts_alone_and_beside_the_sections() -> None:
    session_level = OFFER.replace("t=0 0\r\n", f"t=0 0\r\n{LINE}")
    assert fingerprints_of(session_level) == OWN
    alone = session_level.replace(LINE, "").replace("t=0 0\r\n", f"t=0 0\r\n{LINE}")
    assert alone.count("fingerprint") == 1
    assert fingerprints_of(alone) == OWN
    assert fingerprints_of(OFFER.replace("t=0 0\r\n", f"t=0 0\r\n{LINE.lower()}")) == OWN
    mixed = OFFER.replace("t=0 0\r\n", f"t=0 0\r\na=fingerprint:{OTHER}\r\n")
    assert fingerprints_of(mixed) == ", ".join(sorted([OWN, OTHER]))


def test_the_last_line_may_have_no_end() -> None:
    body = OFFER.replace(LINE, "")
    assert fingerprints_of(f"{body}a=fingerprint:{OWN}") == OWN
    assert fingerprints_of(f"{OFFER}a=fingerprint:{OWN}") == OWN
    assert fingerprints_of(f"{OFFER}a=fingerprint:{OTHER}") != OWN


@pytest.mark.parametrize("name", LONGER)
def test_another_hash_function_beside_it_is_another_fingerprint(name: str) -> None:
    """RFC 8122 lets the provider choose the function, and nobody can tell here that both are of one."""
    both = OFFER.replace(LINE, f"{LINE}a=fingerprint:{LONGER[name]}\r\n")
    assert fingerprints_of(both) == f"{OWN}, {LONGER[name]}"
    assert fingerprints_of(both) == parse_binding({"fingerprint": [LONGER[name], OWN]}).fingerprint


def test_the_first_one_is_what_an_unbound_handles_sender_is_known_by() -> None:
    assert first_fingerprint(OFFER) == OWN
    assert first_fingerprint(OFFER.replace("\r\n", "\n").replace(OWN, OWN.lower())) == OWN
    assert first_fingerprint(OFFER.replace("t=0 0\r\n", f"t=0 0\r\na=fingerprint:{OTHER}\r\n")) == OTHER
    assert first_fingerprint(f"v=0\r\na=fingerprint:{OWN}") == OWN
    for unclear in ("v=0\r\n", "", f"v=0\r\na=fingerprint:{OWN}x", "v=0\r\na=fingerprint:sha-1 AB:CD\r\n"):
        assert first_fingerprint(unclear) == ""


def test_too_many_are_no_clear_certificate() -> None:
    lines = [f"a=fingerprint:sha-256 {':'.join([f'{n:02X}'] * 32)}\r\n" for n in range(MOST_FINGERPRINTS + 1)]
    assert fingerprints_of("v=0\r\n" + "".join(lines)) == ""
    assert fingerprints_of("v=0\r\n" + "".join(lines[1:])).count(",") == MOST_FINGERPRINTS - 1
    assert fingerprints_of("v=0\r\n") == ""


# Each is a line that a provider's parser might take for an attribute with another certificate.
HIDDEN: Final = {
    "its own line": f"a=fingerprint:{OTHER}\r\n",
    "a bare line feed": f"a=fingerprint:{OTHER}\n",
    "a bare carriage return": f"a=x:\ra=fingerprint:{OTHER}\r\n",
    "after the bound one": f"a=fingerprint:{OWN}\ra=fingerprint:{OTHER}\r\n",
    "a vertical tab": f"a=x:\x0ba=fingerprint:{OTHER}\r\n",
    "a line separator": f"a=x:\u2028a=fingerprint:{OTHER}\r\n",
    "a next line": f"s=\x85a=fingerprint:{OTHER}\r\n",
    "upper case": f"A=FINGERPRINT:{OTHER}\r\n",
    "mixed case": f"a=Fingerprint:{OTHER}\r\n",
    "a space before": f" a=fingerprint:{OTHER}\r\n",
    "a tab before": f"\ta=fingerprint:{OTHER}\r\n",
    "a space after the equals sign": f"a= fingerprint:{OTHER}\r\n",
    "a space before the colon": f"a=fingerprint :{OTHER}\r\n",
    "a space after the colon": f"a=fingerprint: {OTHER}\r\n",
    "a space at the end": f"a=fingerprint:{OTHER} \r\n",
    "two spaces": f"a=fingerprint:{OTHER.replace(' ', '  ')}\r\n",
    "a tab between": f"a=fingerprint:{OTHER.replace(' ', chr(9))}\r\n",
    "without colons": f"a=fingerprint:sha-256 {OTHER.removeprefix('sha-256 ').replace(':', '')}\r\n",
    "two on a line": f"a=fingerprint:{OWN} a=fingerprint:{OTHER}\r\n",
    "the bound one first": f"a=fingerprint:{OWN} {OTHER}\r\n",
    "a weak function": f"a=fingerprint:sha-1 {':'.join(['AB'] * 20)}\r\n",
    "an unknown function": f"a=fingerprint:sha3-256 {':'.join(['AB'] * 32)}\r\n",
    "another attribute": f"a=x-fingerprint:{OTHER}\r\n",
    "a name": f"s=fingerprint:{OTHER}\r\n",
    "the attribute alone": "a=fingerprint\r\n",
    "nothing behind it": "a=fingerprint:\r\n",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("at", ["t=0 0\r\n", "a=setup:actpass\r\n", "a=max-message-size:262144\r\n"])
def test_another_certificate_is_not_hidden_beside_the_bound_one(hidden: str, at: str) -> None:
    sdp = OFFER.replace(at, at + hidden, 1)
    assert sdp != OFFER
    assert fingerprints_of(sdp) != OWN


@given(
    st.text(alphabet="afingerptAFINGERPT=: \r\n\t\x0b\x85\u2028sh-2560", max_size=60),
    st.integers(0, len(OFFER)),
)
def test_no_text_that_brings_another_certificate_leaves_the_bound_one_alone(noise: str, at: int) -> None:
    """Wherever it is put: the bound one stands alone only if the other is in no line that names one."""
    sdp = OFFER[:at] + noise + OTHER + OFFER[at:]
    if fingerprints_of(sdp) == OWN:
        whole = [line for line in re.split(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", sdp) if OTHER in line]
        assert not any("fingerprint" in line.lower() for line in whole)
