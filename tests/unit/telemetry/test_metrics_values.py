"""Histograms: into which bucket a value falls, and the newest exemplar of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram

from app.telemetry.metrics_values import NEAR_BUCKETS, PROVIDER_BUCKETS, Histogram, Histograms

seconds = st.floats(0, 100) | st.sampled_from(PROVIDER_BUCKETS)


@given(values=st.lists(seconds, max_size=30))
def test_buckets_count_as_prometheus_own_do(values: list[float]) -> None:
    ours, registry = Histogram(PROVIDER_BUCKETS), CollectorRegistry()
    theirs = TheirHistogram("seconds", "x", registry=registry, buckets=PROVIDER_BUCKETS)
    for value in values:
        ours.observe(value, None)
        theirs.observe(value)
    (family,) = registry.collect()
    below = [sample.value for sample in family.samples if sample.name == "seconds_bucket"]
    assert [sum(ours.counts[: number + 1]) for number in range(len(ours.counts))] == below
    (total,) = [sample.value for sample in family.samples if sample.name == "seconds_sum"]
    assert ours.total == pytest.approx(total)


def test_a_bucket_keeps_its_newest_exemplar() -> None:
    histogram = Histogram((0.1, 1.0))
    for trace_id, value in (("a", 0.05), ("b", 0.06), ("c", 0.5), (None, 0.6)):
        histogram.observe(value, trace_id)
    assert {bucket: found[:2] for bucket, found in histogram.exemplars.items()} == {
        0: ("b", 0.06),
        1: ("c", 0.5),
    }


def test_a_series_begins_with_its_first_value_or_at_zero_where_it_was_named() -> None:
    series = Histograms(NEAR_BUCKETS, ("known",))
    assert list(series) == [("known",)]
    series["new",].observe(0.2, None)
    assert sum(series["new",].counts) == 1
    assert sum(series["known",].counts) == 0


@pytest.mark.parametrize("bounds", [NEAR_BUCKETS, PROVIDER_BUCKETS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
