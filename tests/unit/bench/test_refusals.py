"""The table of what refusals cost, from figures of the test."""

from __future__ import annotations

from typing import Any

from tests.bench.refusals import BARE, PAGE, table
from tests.bench.report import filled

ROWS: list[dict[str, Any]] = [
    {"name": BARE, "cpu_us": [48.0, 52.0, 50.0], "status": 200, "trips": 0.0},
    {"name": "a mint with a wrong client key", "cpu_us": [99.0, 101.0, 300.0], "status": 401, "trips": 0.01},
    {"name": "an offer with a revoked handle", "cpu_us": [150.0, 150.0, 150.0], "status": 401, "trips": 1.02},
    {"name": "a connection", "cpu_us": [25.0, 25.0, 25.0]},
]


def test_a_row_is_the_median_beside_the_bare_request_of_the_same_run() -> None:
    lines = list(table(ROWS, load=0.5))
    assert "load average 0.5 at the start, the median of 3 rounds." in lines[0]
    assert lines[4:] == [
        f"| {BARE} | 200 | 50 | 1.00 | 0 |",
        "| a mint with a wrong client key | 401 | 101 | 2.02 | 0 |",
        "| an offer with a revoked handle | 401 | 150 | 3.00 | 1 |",
        "| a connection | - | 25 | 0.50 | 0 |",
    ]


def test_the_page_has_a_place_for_it() -> None:
    assert "THE TABLE\n<!-- end -->" in filled(
        PAGE.read_text(encoding="utf-8"), {"refusals": lambda: "THE TABLE"}
    )
