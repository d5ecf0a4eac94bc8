"""Where sessions name their models, and how policy is laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.session_policy import ModelPolicy, merged, under_policy
from app.errors import InvalidRequest
from app.models import Family
from app.providers.sessions import main_model, nested_model, with_models

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
DEEP = {"audio": {"input": {"transcription": {"model": "scribe", "language": "en"}}}}


@given(session=OBJECTS, family=st.sampled_from(Family))
def test_a_model_that_was_put_is_found_again_and_nothing_else_changes(
    session: dict[str, Any], family: Family
) -> None:
    before = repr(session)
    named = with_models(family, session, main="alias")
    assert main_model(family, named) == "alias"
    assert repr(session) == before
    kept = {name: value for name, value in named.items() if name not in ("model", "audio")}
    assert kept == {name: value for name, value in session.items() if name not in ("model", "audio")}


def test_each_family_names_its_model_in_its_own_place() -> None:
    session = {"model": "talker", **DEEP}
    assert main_model(Family.REALTIME, session) == "talker"
    assert main_model(Family.TRANSLATION, session) == "talker"
    assert main_model(Family.TRANSCRIPTION, session) == "scribe"
    assert nested_model(Family.REALTIME, session) == "scribe"
    assert nested_model(Family.TRANSCRIPTION, session) is None


@pytest.mark.parametrize("session", [{}, {"audio": 5}, {"audio": {"input": []}}, {"audio": None}])
def test_a_place_that_is_not_there_names_no_model(session: dict[str, Any]) -> None:
    assert nested_model(Family.REALTIME, session) is None
    assert main_model(Family.TRANSCRIPTION, session) is None


def test_renaming_the_nested_model_keeps_what_stands_beside_it() -> None:
    renamed = with_models(Family.REALTIME, DEEP, main="m", nested="n")
    assert renamed["audio"]["input"]["transcription"] == {"model": "n", "language": "en"}
    assert DEEP["audio"]["input"]["transcription"]["model"] == "scribe"


@given(below=OBJECTS, above=OBJECTS)
def test_what_lies_above_always_wins(below: dict[str, Any], above: dict[str, Any]) -> None:
    result = merged(below, above)
    assert result.keys() == below.keys() | above.keys()
    for name, value in above.items():
        if not isinstance(value, dict):
            assert result[name] == value


@given(session=OBJECTS)
def test_without_a_policy_a_session_passes_untouched(session: dict[str, Any]) -> None:
    assert under_policy(ModelPolicy(), session, Family.REALTIME) == session


@given(session=OBJECTS, locked=OBJECTS)
def test_a_locked_field_has_its_value_or_the_request_is_refused(
    session: dict[str, Any], locked: dict[str, Any]
) -> None:
    refusal: InvalidRequest | None = None
    result: Mapping[str, Any] = {}
    try:
        result = under_policy(ModelPolicy(locked=locked), session, Family.REALTIME)
    except InvalidRequest as refused:
        refusal = refused
    if refusal is not None:
        assert str(refusal.param).startswith("session.")
    else:
        # Laying the locks over it once more changes nothing: they hold already.
        assert merged(result, locked) == result


def test_asking_for_the_locked_value_itself_is_no_fault() -> None:
    policy = ModelPolicy(locked={"instructions": "x"})
    assert under_policy(policy, {"instructions": "x"}, Family.REALTIME) == {"instructions": "x"}
