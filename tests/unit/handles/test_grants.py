"""A handle's grant: sealed in two forms that are never taken for each other, and opened in both."""

from __future__ import annotations

import pytest

from app.handles.grants import Grant, open_grant, open_pooled, seal_grant, seal_pooled
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer, UnsealError
from app.models import Secret, StandardCall
from tests.unit.values import EPHEMERAL_KEY, ring

SEALER = Sealer(parse_sealing_ring(ring("k1")))
CONTEXT = ("handle-1", "shop", "1790000600")
SESSION = b'{"type":"realtime","model":"gpt-realtime-2.1","instructions":"Say \\"hi\\" \xc3\xa9"}'
GRANTS = (
    Grant(Secret(EPHEMERAL_KEY)),
    Grant(Secret(EPHEMERAL_KEY), StandardCall(SESSION)),
    Grant(Secret(EPHEMERAL_KEY), StandardCall(SESSION, "user-hash", "gpt-realtime-2.1")),
    Grant(None, StandardCall(SESSION, None, "gpt-live-1")),
)


@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("with_call", [True, False])
def test_a_grant_opens_as_it_was_whatever_the_setting_is_now(grant: Grant, with_call: bool) -> None:
    """The setting may change between a mint and its relay, and differ between replicas while it does."""
    sealed = seal_grant(SEALER, grant, *CONTEXT)
    assert open_grant(SEALER, sealed, *CONTEXT, with_call=with_call) == grant


@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_grant_opens_in_its_own_record_only(grant: Grant, place: int) -> None:
    sealed = seal_grant(SEALER, grant, *CONTEXT)
    other = [*CONTEXT]
    other[place] += "0"
    for with_call in (True, False):
        with pytest.raises(UnsealError):
            open_grant(SEALER, sealed, *other, with_call=with_call)


def test_a_key_that_looks_like_the_other_form_stays_a_key() -> None:
    odd = Grant(Secret('{"key":"ek_other","session":{},"safety_identifier":null}'))
    sealed = seal_grant(SEALER, odd, *CONTEXT)
    assert open_grant(SEALER, sealed, *CONTEXT, with_call=True) == odd


@pytest.mark.parametrize("grant", GRANTS)
def test_neither_key_nor_session_is_seen_in_what_is_stored_or_shown(grant: Grant) -> None:
    shown = f"{seal_grant(SEALER, grant, *CONTEXT)} {grant!r} {grant}"
    assert EPHEMERAL_KEY not in shown
    assert "instructions" not in shown


def test_a_plain_grant_is_sealed_as_before_so_that_older_replicas_open_it() -> None:
    sealed = seal_grant(SEALER, GRANTS[0], *CONTEXT)
    assert SEALER.unseal(sealed, "ephemeral-key", *CONTEXT) == EPHEMERAL_KEY.encode()


def test_what_stands_for_nothing_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="a key or a call"):
        seal_grant(SEALER, Grant(None), *CONTEXT)


def test_a_call_that_an_older_release_sealed_has_no_model() -> None:
    content = b'{"key":"ek_old","session":{"type":"realtime"},"safety_identifier":"user-hash"}'
    sealed = SEALER.seal(content, "ephemeral-key-and-session", *CONTEXT)
    assert open_grant(SEALER, sealed, *CONTEXT, with_call=True) == Grant(
        Secret("ek_old"), StandardCall(b'{"type":"realtime"}', "user-hash", "")
    )


# --- keys of a pool ----------------------------------------------------------------------------------

POOLED_CONTEXT = ("voice", "k1.shape", "main", "nonce.1", "1790000600000")
ECHO = {"id": "sess_1", "client_secret": {"value": EPHEMERAL_KEY}, "instructions": "Say 'hi' é"}


@pytest.mark.parametrize("grant", GRANTS[:3])
def test_a_key_of_a_pool_opens_as_it_was_with_the_session_that_the_provider_gave(grant: Grant) -> None:
    sealed = seal_pooled(SEALER, grant, ECHO, *POOLED_CONTEXT)
    assert EPHEMERAL_KEY not in sealed
    assert open_pooled(SEALER, sealed, *POOLED_CONTEXT) == (grant, ECHO)


@pytest.mark.parametrize("place", range(5))
def test_a_key_of_a_pool_opens_in_its_own_place_only(place: int) -> None:
    sealed = seal_pooled(SEALER, GRANTS[0], ECHO, *POOLED_CONTEXT)
    other = [*POOLED_CONTEXT]
    other[place] += "0"
    with pytest.raises(UnsealError):
        open_pooled(SEALER, sealed, *other)


def test_no_form_is_taken_for_another_one() -> None:
    with pytest.raises(UnsealError):
        open_pooled(SEALER, seal_grant(SEALER, GRANTS[1], *POOLED_CONTEXT), *POOLED_CONTEXT)
    sealed = seal_pooled(SEALER, GRANTS[0], ECHO, *CONTEXT)
    with pytest.raises(UnsealError):
        open_grant(SEALER, sealed, *CONTEXT, with_call=True)


def test_what_is_no_key_and_what_cannot_be_written_is_not_kept() -> None:
    with pytest.raises(ValueError, match="keys"):
        seal_pooled(SEALER, GRANTS[3], ECHO, *POOLED_CONTEXT)
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"deeper": deep}
    with pytest.raises(ValueError, match="nested"):
        seal_pooled(SEALER, GRANTS[0], deep, *POOLED_CONTEXT)
