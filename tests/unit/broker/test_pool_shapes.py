"""Which mints share keys: those for which the provider is asked the same, whoever calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.pool.shapes import pooled, shape_of
from app.broker.routing.attempts import Candidate
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.models import Binding, Deployment, Family, MintRequest, Secret
from tests.unit.values import OPENAI_KEY, ring

SEALER: Final = Sealer(parse_sealing_ring(ring("k1")))
INSTRUCTIONS: Final = "You sell shoes, and nothing else."
PLACE: Final = Deployment("main", "openai", "https://api.openai.com/v1", api_key=Secret(OPENAI_KEY))
OTHER: Final = replace(PLACE, name="other", base_url="https://eu.api.openai.com/v1")
REQUEST: Final = MintRequest(
    "voice",
    Family.REALTIME,
    {"instructions": INSTRUCTIONS, "audio": {"output": {"voice": "marin", "speed": 1.1}}},
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def shape(request: MintRequest = REQUEST, *places: Deployment, identifier: str | None = None) -> str | None:
    ready = request.ready("voice", request.session, seconds=request.seconds, identifier=identifier)
    return shape_of(SEALER, request, [Candidate(place, ready) for place in places or (PLACE,)])


def test_equal_sessions_share_a_shape_whoever_calls() -> None:
    first = shape()
    assert first is not None
    session = {"audio": {"output": {"speed": 1.1, "voice": "marin"}}, "instructions": INSTRUCTIONS}
    caller = replace(
        REQUEST,
        session=session,
        subject="ann",
        origin="https://shop.example",
        binding=Binding("https://shop.example"),
        max_call_seconds=60,
    )
    assert shape(caller) == first


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, model="chat"),
        replace(REQUEST, family=Family.TRANSCRIPTION),
        replace(REQUEST, session={}),
        replace(REQUEST, session={**REQUEST.session, "instructions": INSTRUCTIONS.upper()}),
        replace(REQUEST, session={**REQUEST.session, "tools": []}),
    ],
)
def test_what_the_provider_is_asked_makes_the_shape(other: MintRequest) -> None:
    assert shape(other) not in (None, shape())


def test_another_place_another_model_there_or_another_key_for_calls_is_another_shape() -> None:
    places = [
        (PLACE,),
        (OTHER,),
        (PLACE, OTHER),
        (replace(PLACE, upstream_model="gpt-realtime-2.1"),),
        (replace(PLACE, base_url=OTHER.base_url),),
        (replace(PLACE, call_key="standard"),),
    ]
    assert len({shape(REQUEST, *some) for some in places}) == len(places)


def test_the_order_of_the_deployments_which_chance_decides_does_not_matter() -> None:
    assert shape(REQUEST, PLACE, OTHER) == shape(REQUEST, OTHER, PLACE)


@pytest.mark.parametrize("change", [{"seconds": 600}, {"nested_model": "whisper"}])
def test_what_a_caller_asks_for_himself_is_not_looked_for(change: dict[str, Any]) -> None:
    assert shape(replace(REQUEST, **change)) is None


def test_a_safety_identifier_belongs_to_one_caller() -> None:
    assert shape(REQUEST, PLACE, identifier="user-hash") is None


def test_a_deployment_that_mints_no_keys_has_nothing_to_keep() -> None:
    keyless = replace(OTHER, ephemeral_keys=False)
    assert shape(REQUEST, keyless) is None
    assert shape(REQUEST, PLACE, keyless) is None
    assert shape_of(SEALER, REQUEST, []) is None


def test_a_session_that_cannot_be_written_is_left_to_the_mint() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"deeper": deep}
    assert shape(replace(REQUEST, session=deep)) is None


def test_a_shape_shows_nothing_of_the_session_and_needs_the_ring_to_be_found_out() -> None:
    other = Sealer(parse_sealing_ring(ring("k2")))
    ready = [Candidate(PLACE, REQUEST)]
    theirs, ours = shape_of(other, REQUEST, ready), shape_of(SEALER, REQUEST, ready)
    assert theirs is not None
    assert ours is not None
    assert theirs.partition(".")[2] != ours.partition(".")[2]
    assert len(ours.partition(".")[2]) == 22
    assert "|" not in ours


@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
def test_two_sessions_share_a_shape_exactly_where_they_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    # Python holds True and 1 for equal, JSON does not.
    assert (shape(replace(REQUEST, session=one)) == shape(replace(REQUEST, session=other))) == (
        repr(_sorted(one)) == repr(_sorted(other))
    )


def _sorted(node: Any) -> Any:
    if isinstance(node, dict):
        return sorted((name, _sorted(item)) for name, item in node.items())
    return [_sorted(item) for item in node] if isinstance(node, list) else (type(node).__name__, node)


def test_the_pool_asks_without_anything_of_the_caller() -> None:
    request = replace(REQUEST, subject="ann", origin="https://shop.example", binding=Binding("x"))
    (asked,) = pooled([Candidate(PLACE, request)], seconds=1200)
    assert asked == Candidate(PLACE, replace(REQUEST, seconds=1200))
