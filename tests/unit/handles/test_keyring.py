"""Key rings: what is taken, what is refused as weak or malformed, and that no message holds a secret."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from tests.unit.values import ed25519_ring, ring, ring_secret

PARSERS: list[Callable[[str], Any]] = [parse_signing_ring, parse_sealing_ring]
both = pytest.mark.parametrize("parse", PARSERS)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@both
def test_the_first_key_is_active_and_every_key_is_kept(parse: Callable[[str], Any]) -> None:
    parsed = parse(ring("new", "old"))
    assert parsed.active.kid == "new"
    assert set(parsed.by_kid) == {"new", "old"}
    assert parsed.by_kid["new"] is parsed.active


@both
def test_spaces_line_breaks_and_a_last_comma_do_no_harm(parse: Callable[[str], Any]) -> None:
    a, b = ring("a"), ring("b")
    assert set(parse(f"  {a} ,\n {b},\n").by_kid) == {"a", "b"}


@both
def test_padded_and_unpadded_base64url_are_the_same_key(parse: Callable[[str], Any]) -> None:
    text = ring("a")
    plain, padded = parse(text), parse(text + "=")
    assert plain == padded


def test_a_longer_hmac_key_is_taken_whole() -> None:
    key = parse_signing_ring(f"long:{ring_secret('long', size=64)}").active
    assert isinstance(key.sign_with, bytes)
    assert len(key.sign_with) == 64
    assert key.algorithm == "HS256"


def test_an_aes_key_has_exactly_32_bytes() -> None:
    with pytest.raises(ValueError, match=r"'long' has 48 bytes, but AES-256 needs exactly 32"):
        parse_sealing_ring(f"long:{ring_secret('long', size=48)}")


def test_an_ed25519_seed_makes_that_seed_s_key_pair() -> None:
    key = parse_signing_ring(ed25519_ring("e")).active
    assert key.algorithm == "EdDSA"
    assert isinstance(key.sign_with, Ed25519PrivateKey)
    assert encoded(key.sign_with.private_bytes_raw()) == ring_secret("e")
    assert key.verify_with == key.sign_with.public_key()


def test_an_ed25519_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="an Ed25519 seed has 32 bytes, this one 33"):
        parse_signing_ring(f"e:ed25519.{ring_secret('e', size=33)}")


@both
@pytest.mark.parametrize("text", ["", "   ", ",", " , ,"])
def test_an_empty_ring_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match="the ring is empty"):
        parse(text)


@both
def test_a_key_id_that_stands_twice_is_refused(parse: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="'a' stands in the ring twice"):
        parse(f"a:{ring_secret('one')},a:{ring_secret('two')}")


@both
@pytest.mark.parametrize("kid", ["", "a b", "a.b", "a/b", "é", "k" * 33, 'k"'])
def test_a_key_id_that_would_not_be_plain_in_redis_is_refused(parse: Callable[[str], Any], kid: str) -> None:
    with pytest.raises(ValueError, match="entry 2 is not of the form kid:secret"):
        parse(f"{ring('ok')},{kid}:{ring_secret('x')}")


@both
@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        pytest.param(ring_secret("short", size=31), "31 bytes, at least 32", id="31 bytes"),
        pytest.param("", "0 bytes", id="empty"),
        pytest.param(encoded(b"\0" * 32), "repeat", id="zeros"),
        pytest.param(encoded(b"password" * 4), "repeat", id="a word four times"),
        pytest.param(encoded(bytes(range(15)) * 3), "repeat", id="fifteen different bytes"),
        pytest.param("not base64url at all, is it", "not base64url", id="prose"),
        pytest.param(ring_secret("x") + "\n" + ring_secret("y"), "not base64url", id="line break inside"),
        pytest.param("Z" * 45, "not base64url", id="impossible length"),
        pytest.param("ключ" * 11, "not base64url", id="other script"),
    ],
)
def test_a_weak_or_malformed_key_is_refused_by_its_name(
    parse: Callable[[str], Any], secret: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse(f"k1:{secret.replace(',', '')}")
    assert "'k1'" in str(refused.value)


@both
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_whatever_stands_in_a_ring_is_never_quoted_in_the_refusal(
    parse: Callable[[str], Any], text: str
) -> None:
    # A colon is not of the alphabet, so every one of these is refused.
    with pytest.raises(ValueError, match=r"k1|entry") as refused:
        parse(f"k1:hush{text}:hush")
    assert "hush" not in str(refused.value)


@both
def test_a_ring_does_not_show_its_keys(parse: Callable[[str], Any]) -> None:
    parsed = parse(ring("a", "b"))
    shown = f"{parsed!r} {parsed} {parsed.active!r}"
    assert "kid='a'" in shown
    raw = base64.urlsafe_b64decode(ring_secret("a") + "=")
    assert ring_secret("a") not in shown
    assert repr(raw)[2:-1] not in shown
