"""Times as people read them."""

from __future__ import annotations

import pytest

from app.cli.times import ago, exact_span, span, utc


@pytest.mark.parametrize(
    ("seconds", "short", "exact"),
    [
        (-5, "0 s", "0 s"),
        (0.9, "0 s", "0 s"),
        (59.9, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (552, "9 min", "9 min 12 s"),
        (3599, "59 min", "59 min 59 s"),
        (3600, "1 h", "1 h"),
        (4000, "1 h 6 min", "1 h 6 min"),
        (200_000, "2 d", "2 d"),
    ],
)
def test_a_span_is_rounded_down(seconds: float, short: str, exact: str) -> None:
    assert (span(seconds), exact_span(seconds)) == (short, exact)


def test_what_a_faster_clock_wrote_has_just_happened() -> None:
    assert ago(1000, 1005) == "5 s ago"
    assert ago(1030, 1000) == "0 s ago"
    assert ago(1200, 1000) == "in 3 min"


def test_the_exact_time_is_in_utc_and_a_wild_one_is_no_traceback() -> None:
    assert utc(1_795_275_131) == "2026-11-21 15:32:11 UTC"
    assert utc(10**30) == f"{10**30} (epoch seconds)"
