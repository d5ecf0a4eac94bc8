"""What one answered request adds, under which labels, and which labels there can be at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.samples import Sample

from app.errors import (
    CloakroomError,
    HandleSpent,
    InternalError,
    ModelNotFound,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    StoreUnavailable,
    UpstreamError,
    UpstreamTimeout,
)
from app.telemetry.metrics import (
    CODES,
    NEAR_BUCKETS,
    OPERATIONS,
    PROVIDER_BUCKETS,
    Metrics,
    code_of,
    result_of,
)
from app.telemetry.timings import Timings, Try, TryOutcome


class TraceOf:
    """A trace that somebody keeps, or not."""

    def __init__(self, trace_id: str, *, sampled: bool) -> None:
        self.trace_id = trace_id
        self.sampled = sampled

    def ask(self, deployment: str | None, method: str = "POST") -> Any:
        raise AssertionError("nothing is asked here")


def metrics() -> Metrics:
    return Metrics(models=["voice", "eu"], deployments=["main", "spare"])


def timings(**more: Any) -> Timings:
    return Timings(model="voice", deployment="main", **more)


def samples(counted: Metrics, name: str) -> list[Sample]:
    """Those with this name, without the common prefix, as a scrape would get them."""
    families = counted.registry.collect()
    return [found for family in families for found in family.samples if found.name == f"cloakroom_{name}"]


def values(counted: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """By the values of their labels, in the order of the documentation."""
    return {tuple(found.labels.values()): found.value for found in samples(counted, name)}


@pytest.mark.parametrize(
    ("error", "labels"),
    [
        (None, ("voice", "main", "ok", "none")),
        (RateLimited("x"), ("voice", "main", "refused", "rate_limited")),
        (StoreUnavailable("x"), ("voice", "main", "unavailable", "store_unavailable")),
        (UpstreamTimeout("x"), ("voice", "main", "provider_error", "upstream_timeout")),
        (OutcomeUnknown("x"), ("voice", "main", "provider_error", "outcome_unknown")),
        (UpstreamError("x"), ("voice", "main", "provider_error", "upstream_error")),
        (
            UpstreamError("x", upstream=(401, "whatever_it_says")),
            ("voice", "main", "provider_error", "upstream_401"),
        ),
        (UpstreamError("x", upstream=(418, None)), ("voice", "main", "provider_error", "upstream_4xx")),
        (UpstreamError("x", upstream=(529, None)), ("voice", "main", "provider_error", "upstream_5xx")),
        (InternalError("x"), ("voice", "main", "error", "internal_error")),
    ],
)
def test_an_operation_counts_under_whose_fault_it_is(
    error: CloakroomError | None, labels: tuple[str, ...]
) -> None:
    counted = metrics()
    status = 200 if error is None else error.answer_status
    counted.answered("mint", status, error, timings(), seconds=0.1)
    assert values(counted, "mints_total") == {labels: 1}
    assert values(counted, "relays_total") == values(counted, "hangups_total") == {}


@pytest.mark.parametrize(
    ("handler", "fields", "outcome"),
    [
        ("relay", {"replayed": False}, "ok"),
        ("relay", {"replayed": True}, "replayed"),
        ("hangup", {"outcome": "ended"}, "ok"),
        ("hangup", {"outcome": "gone"}, "gone"),
        ("hangup", {"outcome": "repeated"}, "repeated"),
    ],
)
def test_a_success_says_which_kind_it_was(handler: str, fields: dict[str, Any], outcome: str) -> None:
    counted = metrics()
    counted.answered(handler, 200, None, timings(), seconds=0.1, fields=fields)
    assert values(counted, f"{handler}s_total") == {("voice", "main", outcome, "none"): 1}


def test_a_claim_is_refused_for_a_reason_and_only_a_relay_claims() -> None:
    counted = metrics()
    counted.answered("relay", 409, HandleSpent("x"), timings(), seconds=0.1)
    counted.answered("hangup", 409, HandleSpent("x"), timings(), seconds=0.1)
    refused = values(counted, "claims_refused_total")
    assert {reason for (reason,), count in refused.items() if count} == {"spent"}
    assert refused["spent",] == 1


def test_what_no_view_answered_is_counted_by_its_code() -> None:
    counted = metrics()
    counted.answered("unmatched", 404, NotFound("x"), Timings(), seconds=0.1)
    assert values(counted, "http_refusals_total")["not_found",] == 1
    assert values(counted, "http_responses_total")["unmatched", "4xx"] == 1
    assert not any(values(counted, f"{operation}s_total") for operation in OPERATIONS)


def test_our_own_time_is_what_is_left_of_a_request_without_its_waits() -> None:
    counted, waits = metrics(), timings(provider=2.0, store=0.5, idle=4.0)
    counted.answered("relay", 201, None, waits, seconds=6.625)
    assert values(counted, "overhead_seconds_sum")["relay",] == 0.125
    assert values(counted, "request_duration_seconds_sum")["relay", "ok"] == 6.625


def test_a_failover_is_two_tries_and_one_mint() -> None:
    tries = [Try("main", 0.2, "answered", 503), Try("spare", 0.3, "answered", 200)]
    counted = metrics()
    counted.answered("mint", 200, None, Timings(model="voice", deployment="spare", tries=tries), seconds=1)
    assert values(counted, "mints_total") == {("voice", "spare", "ok", "none"): 1}
    assert values(counted, "provider_tries_total") == {
        ("mint", "main", "failed"): 1,
        ("mint", "spare", "ok"): 1,
    }
    assert values(counted, "deployment_up") == {("main",): False, ("spare",): True}
    assert values(counted, "provider_duration_seconds_sum")["mint", "main"] == 0.2


@pytest.mark.parametrize(
    ("outcome", "status", "result"),
    [
        ("answered", 201, "ok"),
        ("answered", 302, "failed"),
        ("answered", 404, "refused"),
        ("answered", 429, "rate_limited"),
        ("answered", 500, "failed"),
        ("unreachable", None, "unreachable"),
        ("timeout", None, "timeout"),
        ("cut_off", None, "cut_off"),
    ],
)
def test_a_try_ends_in_one_word(outcome: TryOutcome, status: int | None, result: str) -> None:
    assert result_of(Try("main", 0.1, outcome, status)) == result


def test_steps_at_the_store_are_told_apart() -> None:
    counted, waits = metrics(), timings()
    waits.store_took("claim", 1.0, 1.25)
    waits.store_took("settle", 2.0, 2.5)
    counted.answered("relay", 201, None, waits, seconds=1)
    took = values(counted, "store_duration_seconds_sum")
    assert (took["claim",], took["settle",]) == (0.25, 0.5)
    assert waits.store == 0.75


def test_only_a_trace_that_is_kept_becomes_an_exemplar() -> None:
    counted = metrics()
    for trace_id, sampled in (("a" * 32, True), ("b" * 32, False)):
        waits = timings(trace=TraceOf(trace_id, sampled=sampled))
        counted.answered("mint", 200, None, waits, seconds=0.02)
    buckets = samples(counted, "request_duration_seconds_bucket")
    (exemplar,) = [bucket.exemplar for bucket in buckets if bucket.exemplar is not None]
    assert (exemplar.labels, exemplar.value) == ({"trace_id": "a" * 32}, 0.02)


def test_a_bucket_keeps_its_newest_exemplar() -> None:
    counted = metrics()
    for trace_id, seconds in (("a", 0.06), ("b", 0.07), ("c", 0.3), (None, 0.4)):
        trace = None if trace_id is None else TraceOf(trace_id, sampled=True)
        counted.answered("mint", 200, None, timings(trace=trace), seconds=seconds)
    buckets = samples(counted, "request_duration_seconds_bucket")
    found = {one.labels["le"]: one.exemplar for one in buckets if one.exemplar is not None}
    assert {bound: (kept.labels["trace_id"], kept.value) for bound, kept in found.items()} == {
        "0.1": ("b", 0.07),
        "0.5": ("c", 0.3),
    }


@settings(deadline=None)
@given(st.lists(st.floats(0, 100) | st.sampled_from(PROVIDER_BUCKETS), max_size=30))
def test_a_bucket_counts_what_took_as_long_as_its_bound_or_less(seconds: list[float]) -> None:
    counted = metrics()
    for value in seconds:
        counted.answered("mint", 200, None, timings(), seconds=value)
    buckets = values(counted, "request_duration_seconds_bucket")
    found = [buckets["mint", "ok", bound] for bound in (*map(str, PROVIDER_BUCKETS), "+Inf")]
    assert found == [sum(value <= bound for value in seconds) for bound in (*PROVIDER_BUCKETS, math.inf)]
    assert values(counted, "request_duration_seconds_sum")["mint", "ok"] == pytest.approx(sum(seconds))


@pytest.mark.parametrize("bounds", [NEAR_BUCKETS, PROVIDER_BUCKETS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


def test_a_series_begins_with_its_first_value_or_at_zero_where_its_labels_are_known() -> None:
    counted = metrics()
    assert values(counted, "store_duration_seconds_count") == {("save",): 0, ("claim",): 0, ("settle",): 0}
    waits = timings()
    waits.store_took("find", 1.0, 1.2)
    counted.answered("hangup", 200, None, waits, seconds=1)
    assert values(counted, "store_duration_seconds_count")["find",] == 1
    assert values(counted, "store_duration_seconds_count")["save",] == 0


def test_no_series_tells_when_another_one_was_created() -> None:
    counted = metrics()
    counted.answered("mint", 200, None, timings(), seconds=0.1)
    names = {sample.name for family in counted.registry.collect() for sample in family.samples}
    assert not [name for name in names if name.endswith("_created")]


@given(
    model=st.none() | st.text(),
    deployment=st.none() | st.text(),
    handler=st.sampled_from(["mint", "relay", "hangup", "admin"]) | st.text(),
    upstream=st.none() | st.tuples(st.integers(400, 599), st.none() | st.text()),
)
def test_whatever_is_sent_the_labels_are_words_of_ours(
    model: str | None,
    deployment: str | None,
    handler: str,
    upstream: tuple[int, str | None] | None,
) -> None:
    counted = metrics()
    error = UpstreamError("x", upstream=upstream)
    waits = Timings(model=model, deployment=deployment, tries=[Try(deployment, 0.1, "answered", 500)])
    before = set(values(counted, "http_responses_total"))
    counted.answered(handler, error.answer_status, error, waits, seconds=0.1)
    assert set(values(counted, "http_responses_total")) == before
    for operation in OPERATIONS:
        for found_model, found_deployment, outcome, code in values(counted, f"{operation}s_total"):
            assert found_model in {"voice", "eu", "other", "none"}
            assert found_deployment in {"main", "spare", "other", "none"}
            assert outcome == "provider_error"
            assert code in CODES


def test_every_code_of_ours_is_counted_as_itself() -> None:
    assert code_of(ModelNotFound("x")) == "model_not_found"
    assert CODES["model_not_found"] == "refused"
