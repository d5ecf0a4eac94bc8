"""A page's report: any JSON is a report or a refusal, and every report survives its texts on the record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import reports
from app.errors import InvalidRequest
from app.reports import (
    CANDIDATE_TYPES,
    DTLS_STATES,
    FAILURES,
    ICE_STATES,
    MICROPHONES,
    OUTCOMES,
    PROTOCOLS,
    ReportChoice,
    fits,
    from_texts,
    to_texts,
)
from app.web.calls.reports import parse_report
from app.web.reference.document import load_document

_COUNTS: Final = st.dictionaries(st.sampled_from(CANDIDATE_TYPES), st.integers(0, reports.MAX_CANDIDATES))
GOOD: Final = st.fixed_dictionaries(
    {"outcome": st.sampled_from(OUTCOMES), "after_ms": st.integers(0, reports.MAX_AFTER_MS)},
    optional={
        "ice_state": st.sampled_from(ICE_STATES),
        "dtls_state": st.sampled_from(DTLS_STATES),
        "protocol": st.sampled_from(PROTOCOLS),
        "candidate_type": st.sampled_from(CANDIDATE_TYPES),
        "microphone": st.sampled_from(MICROPHONES),
        "candidates": st.fixed_dictionaries({"local": _COUNTS, "remote": _COUNTS}),
    },
)
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

FIELDS: Final = load_document(None)["components"]["schemas"]["CallReport"]["properties"].keys()


@given(body=GOOD, at=st.integers(0, 10**11))
def test_a_report_survives_its_texts_and_each_is_short(body: dict[str, Any], at: int) -> None:
    report = replace(parse_report(body), at=at)
    texts = to_texts(report)
    assert max(map(len, texts)) <= 64
    assert from_texts(*texts) == report


@given(body=GOOD, name=st.text(max_size=80) | st.sampled_from(["outcome", "candidates"]), value=_VALUES)
def test_any_other_field_or_value_is_refused_by_its_name(body: dict[str, Any], name: str, value: Any) -> None:
    changed = {**body, name: value}
    refused = _refusal(changed)
    if refused is None:
        assert changed.keys() <= FIELDS
    else:
        assert refused.param is not None
        assert len(refused.param) <= 64


def _refusal(body: dict[str, Any]) -> InvalidRequest | None:
    try:
        parse_report(body)
    except InvalidRequest as error:
        return error
    return None


@given(texts=st.tuples(st.text(), st.text(), st.text()))
def test_no_text_on_a_record_breaks_its_reader(texts: tuple[str, str, str]) -> None:
    assert from_texts(*texts) is None
    assert from_texts("1 connected 2", *texts[1:]) is not None


@pytest.mark.parametrize("choice", get_args(ReportChoice))
def test_a_choice_has_the_calls_of_its_outcome(choice: ReportChoice) -> None:
    found = {
        outcome for outcome in OUTCOMES if fits(choice, parse_report({"outcome": outcome, "after_ms": 1}))
    }
    assert found == (FAILURES if choice == "failed" else {choice})
    assert not fits(choice, None)


def test_the_reference_has_the_same_words_and_bounds() -> None:
    fields = load_document(None)["components"]["schemas"]["CallReport"]["properties"]
    words = {name: tuple(field["enum"]) for name, field in fields.items() if "enum" in field}
    assert words == {
        "outcome": OUTCOMES,
        "ice_state": ICE_STATES,
        "dtls_state": DTLS_STATES,
        "protocol": PROTOCOLS,
        "candidate_type": CANDIDATE_TYPES,
        "microphone": MICROPHONES,
    }
    assert fields["after_ms"]["maximum"] == reports.MAX_AFTER_MS
