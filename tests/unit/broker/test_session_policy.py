"""The session that a caller sees holds the handle wherever the provider wrote its own key."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.session_policy import clean_session
from app.models import Secret
from tests.samples import load
from tests.unit.values import EPHEMERAL_KEY, mint_request

HANDLE = "ek_eyJ.handle.sig"
EXPIRES_AT = 1_790_000_600


def cleaned(session: dict[str, Any], key: str | None = EPHEMERAL_KEY) -> dict[str, Any]:
    secret = Secret(key) if key is not None else None
    return clean_session(session, secret, mint_request(), handle=HANDLE, expires_at=EXPIRES_AT)


def test_the_model_stands_under_the_callers_name() -> None:
    assert cleaned({"model": "voice-prod-eu", "type": "realtime"}) == {
        "model": "assistant",
        "type": "realtime",
    }


def test_a_client_secret_becomes_the_handle_with_the_handles_expiry() -> None:
    session = cleaned({"client_secret": {"value": EPHEMERAL_KEY, "expires_at": 5}})
    assert session["client_secret"] == {"value": HANDLE, "expires_at": EXPIRES_AT}


def test_no_client_secret_is_added_where_the_provider_sent_none() -> None:
    assert "client_secret" not in cleaned({"type": "realtime"})


@pytest.mark.parametrize(
    "session",
    [
        {"note": EPHEMERAL_KEY},
        {"note": f"Bearer {EPHEMERAL_KEY}!"},
        {"a": [{"b": [EPHEMERAL_KEY, "x" + EPHEMERAL_KEY]}]},
        {EPHEMERAL_KEY: 1},
        {"a": {f"key {EPHEMERAL_KEY}": {"deep": EPHEMERAL_KEY}}},
    ],
)
def test_the_key_is_replaced_wherever_it_stands(session: dict[str, Any]) -> None:
    text = orjson.dumps(cleaned(session)).decode()
    assert EPHEMERAL_KEY not in text
    assert HANDLE in text


@pytest.mark.parametrize("key", ['ek_quo"ted_key', "ek_back\\slashed", "ek_<html>&amp;", "ek_'single'"])
def test_a_key_that_json_spells_in_another_way_is_found_too(key: str) -> None:
    session = cleaned({"note": f"your key is {key}"}, key)
    assert session["note"] == f"your key is {HANDLE}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(session=st.dictionaries(st.text().filter(lambda name: name != "client_secret"), json_values))
def test_everything_else_passes_through_as_it_came(session: dict[str, Any]) -> None:
    expected = {**session, "model": "assistant"}
    assert cleaned(session) == expected


def test_a_session_that_no_provider_minted_is_shown_under_the_callers_name() -> None:
    assert cleaned({"model": "voice-prod-eu", "voice": "marin"}, key=None) == {
        "model": "assistant",
        "voice": "marin",
    }


def test_the_providers_own_value_is_not_changed() -> None:
    session = {"model": "upstream", "client_secret": {"value": EPHEMERAL_KEY}, "note": EPHEMERAL_KEY}
    before = orjson.dumps(session)
    cleaned(session)
    assert orjson.dumps(session) == before


def test_a_session_nested_deeper_than_json_is_written_is_left_out_and_not_a_failure() -> None:
    deep: Any = EPHEMERAL_KEY
    for _ in range(254):
        deep = [deep]
    answer = cleaned({"deep": deep})
    assert answer == {"model": "assistant"}


@pytest.mark.parametrize("name", ["openai/client_secrets-200", "azure/client_secrets-200"])
def test_a_real_answers_session_is_kept_but_for_its_model(name: str) -> None:
    session = orjson.loads(load(name).response.body)["session"]
    assert cleaned(session) == {**session, "model": "assistant"}
