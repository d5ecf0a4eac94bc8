"""Sealing: only the same key and the same context open a value, and every changed byte is noticed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import NONCE_BYTES, Sealer, UnsealError
from tests.unit.values import ring

PLAIN = b"ek_68af296e8e408191a1120ab6383263c2"
CONTEXT = ("ephemeral-key", "handle-id", "client", "1790000600")
TAG_BYTES = 16


def sealer(*kids: str) -> Sealer:
    return Sealer(parse_sealing_ring(ring(*kids)))


def raw_of(sealed: str) -> bytes:
    return base64.urlsafe_b64decode(sealed.partition(".")[2])


@given(plain=st.binary(max_size=300), context=st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_what_was_sealed_comes_back_with_the_same_context(plain: bytes, context: list[str]) -> None:
    one = sealer("a")
    assert one.unseal(one.seal(plain, *context), *context) == plain


def test_a_sealed_value_shows_its_key_id_and_nothing_of_the_plain_text() -> None:
    sealed = sealer("k7").seal(PLAIN, *CONTEXT)
    kid, _, text = sealed.partition(".")
    assert kid == "k7"
    assert len(base64.urlsafe_b64decode(text)) == NONCE_BYTES + len(PLAIN) + TAG_BYTES
    assert PLAIN not in raw_of(sealed)
    assert not any(part in sealed for part in CONTEXT)


@pytest.mark.parametrize("position", range(len(CONTEXT)))
def test_a_different_context_at_any_position_does_not_open(position: int) -> None:
    one = sealer("a")
    changed = list(CONTEXT)
    changed[position] += "x"
    with pytest.raises(UnsealError):
        one.unseal(one.seal(PLAIN, *CONTEXT), *changed)


@pytest.mark.parametrize(
    ("sealed_with", "opened_with"),
    [
        pytest.param(("ab", "c"), ("a", "bc"), id="a character moved over"),
        pytest.param(("a", "b"), ("b", "a"), id="swapped"),
        pytest.param(("a", ""), ("a",), id="an empty part less"),
        pytest.param((), ("",), id="an empty part more"),
        pytest.param(("a|b",), ("a", "b"), id="a part that holds the separator"),
        pytest.param(("a|1:b",), ("a", "b"), id="a part that holds the separator and a length"),
        pytest.param(("1:a",), ("a",), id="a part that begins with its own length"),
        pytest.param(("é",), ("e\N{COMBINING ACUTE ACCENT}",), id="another spelling of one letter"),
    ],
)
def test_no_two_contexts_are_alike(sealed_with: tuple[str, ...], opened_with: tuple[str, ...]) -> None:
    one = sealer("a")
    with pytest.raises(UnsealError):
        one.unseal(one.seal(PLAIN, *sealed_with), *opened_with)


@given(
    first=st.lists(st.text("ab|:12", max_size=4), max_size=4),
    second=st.lists(st.text("ab|:12", max_size=4), max_size=4),
)
def test_contexts_open_each_other_only_when_they_are_equal(first: list[str], second: list[str]) -> None:
    one = sealer("a")
    sealed = one.seal(PLAIN, *first)
    if first == second:
        assert one.unseal(sealed, *second) == PLAIN
    else:
        with pytest.raises(UnsealError):
            one.unseal(sealed, *second)


def test_every_single_changed_byte_of_nonce_ciphertext_and_tag_is_noticed() -> None:
    one = sealer("a")
    raw = raw_of(one.seal(PLAIN, *CONTEXT))
    for index in range(len(raw)):
        tampered = bytearray(raw)
        tampered[index] ^= 1
        with pytest.raises(UnsealError):
            one.unseal("a." + base64.urlsafe_b64encode(tampered).decode(), *CONTEXT)


def test_a_value_cut_short_anywhere_does_not_open() -> None:
    one = sealer("a")
    sealed = one.seal(PLAIN, *CONTEXT)
    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            one.unseal(sealed[:length], *CONTEXT)


@pytest.mark.parametrize("text", ["", "a", "a.", "a.!!!", "a.AAAA", ".", "é.AAAA", "a.é", PLAIN.decode()])
def test_text_that_was_never_sealed_does_not_open(text: str) -> None:
    with pytest.raises(UnsealError) as refused:
        sealer("a").unseal(text, *CONTEXT)
    assert refused.value.args == ()


def test_an_unknown_key_id_does_not_open() -> None:
    sealed = sealer("gone").seal(PLAIN, *CONTEXT)
    with pytest.raises(UnsealError):
        sealer("a", "b").unseal(sealed, *CONTEXT)


def test_the_key_id_is_authenticated_too() -> None:
    """The same key under another id does not open: a record cannot be relabelled."""
    text = ring("a")
    one = Sealer(parse_sealing_ring(text))
    relabelled = Sealer(parse_sealing_ring(text.replace("a:", "b:", 1)))
    sealed = one.seal(PLAIN, *CONTEXT)
    with pytest.raises(UnsealError):
        relabelled.unseal("b" + sealed[1:], *CONTEXT)


def test_each_sealing_takes_a_fresh_nonce() -> None:
    one = sealer("a")
    nonces = {raw_of(one.seal(PLAIN, *CONTEXT))[:NONCE_BYTES] for _ in range(500)}
    assert len(nonces) == 500


def test_rotation_add_then_seal_then_retire_loses_no_value() -> None:
    before, added, moved, retired = sealer("old"), sealer("old", "new"), sealer("new", "old"), sealer("new")
    sealed_before, sealed_after = before.seal(PLAIN, *CONTEXT), moved.seal(PLAIN, *CONTEXT)
    assert sealed_before.startswith("old.")
    assert sealed_after.startswith("new.")
    assert added.seal(PLAIN, *CONTEXT).startswith("old.")
    for replica in (added, moved):
        assert replica.unseal(sealed_before, *CONTEXT) == PLAIN
        assert replica.unseal(sealed_after, *CONTEXT) == PLAIN
    with pytest.raises(UnsealError):
        retired.unseal(sealed_before, *CONTEXT)


# --- proofs -----------------------------------------------------------------------------------------

STATED = ("handle", "handle-id", "gpt-realtime-2.1", "shop", "")


def test_a_proof_holds_for_the_same_texts_alone() -> None:
    one = sealer("a")
    proof = one.prove(*STATED)
    assert one.proves(proof, *STATED)
    for at in range(len(STATED)):
        changed = [*STATED]
        changed[at] += "x"
        assert not one.proves(proof, *changed)
    # Neither a text that moved, nor one that is missing, nor one more.
    assert not one.proves(proof, "handle", "handle-i", "dgpt-realtime-2.1", "shop", "")
    assert not one.proves(proof, *STATED[:-1])
    assert not one.proves(proof, *STATED, "")


@pytest.mark.parametrize(
    "proof", ["", "a", "a.", "b.AAAAAAAAAAAAAAAAAAAAAA", "a.AAAAAAAAAAAAAAAAAAAAAA", "a.ä"]
)
def test_what_is_no_proof_does_not_hold(proof: str) -> None:
    assert not sealer("a").proves(proof, *STATED)


def test_a_proof_holds_after_a_new_key_is_active_until_its_own_is_gone() -> None:
    proof = sealer("a").prove(*STATED)
    assert sealer("b", "a").proves(proof, *STATED)
    assert not sealer("b").proves(proof, *STATED)
    assert sealer("b", "a").prove(*STATED).startswith("b.")


def test_a_proof_fits_the_compact_form_of_a_hash() -> None:
    assert len(sealer("k" * 32).prove(*STATED)) <= 64


@given(stated=st.lists(st.text(st.characters(codec="utf-8")), max_size=8))
def test_any_texts_can_be_proven(stated: list[str]) -> None:
    one = sealer("a")
    assert one.proves(one.prove(*stated), *stated)
