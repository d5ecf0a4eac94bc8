"""Which goals a run has met."""

from __future__ import annotations

import pytest

from tests.bench.goals import goals
from tests.unit.bench import figures


def _unmet(bench: dict[str, object], grown: dict[str, object]) -> list[str]:
    return [goal.text for goal in goals(bench, grown) if not goal.met]


def test_a_run_within_every_bound_meets_every_goal() -> None:
    assert _unmet(figures.bench(), figures.grown()) == []


def test_a_fraction_above_the_floors_share_is_not_met() -> None:
    assert len(_unmet(figures.bench(ours=250.1, theirs=9000.0), figures.grown())) == 3
    assert _unmet(figures.bench(ours=250.0, theirs=9000.0), figures.grown()) == []


def test_litellm_must_cost_twenty_five_times_as_much() -> None:
    unmet = _unmet(figures.bench(ours=240.0, theirs=5999.0), figures.grown())

    assert len(unmet) == 2
    assert all("LiteLLM" in text for text in unmet)


@pytest.mark.parametrize(
    ("more", "word"),
    [({"p50_ms": 1.5}, "0.5 ms above"), ({"failed": 1}, "without a failed request")],
)
def test_a_slow_or_failed_request_is_not_met(more: dict[str, float], word: str) -> None:
    unmet = _unmet(figures.bench(**more), figures.grown())

    assert unmet
    assert all(word in text for text in unmet)


def test_memory_is_judged_at_its_highest_and_by_its_growth() -> None:
    bench = figures.bench()
    bench["servers"]["cloakroom"]["memory_after_each_round"] = [70_000_000, 76_000_000, 81_000_000]

    assert _unmet(bench, figures.grown()) == [
        "at most 80 MB of memory under load",
        "memory is flat from round to round",
    ]


def test_bytes_are_judged_at_the_largest_size_and_round_trips_at_all() -> None:
    unmet = _unmet(figures.bench(), figures.grown(bytes_per_handle=701.0, relay_trips=3.0))

    assert len(unmet) == 2
    assert "bytes of Redis" in unmet[0]
    assert "round trips" in unmet[1]
