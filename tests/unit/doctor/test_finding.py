"""A finding that is not well always says what mends it, and a report counts truly."""

from __future__ import annotations

import pytest

from app.doctor.finding import Finding, Report, Status


@pytest.mark.parametrize("status", ["warn", "fail", "skipped"])
def test_whatever_is_not_ok_must_name_a_fix(status: Status) -> None:
    with pytest.raises(ValueError, match="names no fix"):
        Finding("store", "reach", status, "detail")
    assert Finding("store", "reach", status, "detail", "do this").fix == "do this"


def test_only_a_failure_makes_a_report_unhealthy() -> None:
    rows: list[Finding] = [
        Finding("settings", "a", "ok", "-"),
        Finding("settings", "b", "warn", "-", "f"),
        Finding("settings", "c", "warn", "-", "f"),
        Finding("store", "d", "skipped", "-", "f"),
    ]
    assert Report(rows, 0.5).healthy
    assert Report(rows, 0.5).counts == {"ok": 1, "warn": 2, "fail": 0, "skipped": 1}
    failed = Report([*rows, Finding("deployment", "e", "fail", "-", "f", "voice")], 0.5)
    assert not failed.healthy
    assert failed.counts["fail"] == 1
    assert failed.findings[-1].place == "deployment voice"
