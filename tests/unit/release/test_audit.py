"""The audit: what is known, and that not to know is never told as well."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.release.audit import (
    EXIT_UNKNOWN,
    EXIT_VULNERABLE,
    EXIT_WELL,
    Audited,
    audit,
    lock_files,
    npm_audited,
    python_audited,
    status,
)
from tests.support.page import ROOT

WELL = Audited("a.lock")
BAD = Audited("b.lock", ("x 1: CVE-1, fixed in 2",))
UNKNOWN = Audited("c.lock", unknown="no route")


def test_every_lock_file_is_asked_about() -> None:
    found = {str(path.relative_to(ROOT)) for path in lock_files()}
    assert {"requirements.lock", "requirements-runtime.lock", "tests/browser/package-lock.json"} <= found
    assert {
        "deploy/requirements-build.lock",
        "tests/release/tools.lock",
        "tests/fuzz/requirements.lock",
    } <= found


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([WELL], EXIT_WELL),
        ([WELL, BAD], EXIT_VULNERABLE),
        ([WELL, UNKNOWN], EXIT_UNKNOWN),
        ([BAD, UNKNOWN], EXIT_VULNERABLE),
    ],
)
def test_only_what_was_asked_and_is_well_is_well(results: list[Audited], expected: int) -> None:
    assert status(results) == expected


def test_what_could_not_be_asked_is_told_as_such() -> None:
    assert str(UNKNOWN) == "  NOT AUDITED c.lock: no route"
    assert "well" not in str(BAD)


def test_an_advisory_names_package_and_mend() -> None:
    report: dict[str, Any] = {
        "dependencies": [
            {"name": "fine", "version": "1", "vulns": []},
            {"name": "x", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2", "3"]}]},
            {"name": "y", "version": "2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
        ]
    }
    assert python_audited("l", report).vulnerable == (
        "x 1: PYSEC-1, fixed in 2, 3",
        "y 2: PYSEC-2, fixed in no version yet",
    )


def test_a_package_that_was_skipped_is_not_well() -> None:
    """As an index answers that has the packages and not what is known of them."""
    report = {"dependencies": [{"name": "z", "skip_reason": "not found on PyPI"}, {"name": "a", "vulns": []}]}
    assert python_audited("l", report).unknown == "1 of 2 packages were skipped: not found on PyPI"


def test_npms_report_of_an_error_is_no_report_of_health() -> None:
    assert npm_audited("l", {"message": "request failed, reason: ENOTFOUND"}).unknown
    assert npm_audited("l", {"error": {"summary": "endpoint\nreturned 404"}}).unknown == "returned 404"
    assert npm_audited("l", {}).unknown == "no report"


def test_npms_advisories_are_read() -> None:
    report = {"vulnerabilities": {"x": {"name": "x", "range": "<2", "severity": "high"}}}
    assert npm_audited("l", report).vulnerable == ("x <2: high",)
    assert npm_audited("l", {"vulnerabilities": {}}) == Audited("l")


def test_a_tool_that_says_nothing_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        # An empty report, as where no service answered.
        Path(command[command.index("--output") + 1]).write_text("")
        return subprocess.CompletedProcess(command, 1, "", "ERROR: could not connect\n")

    monkeypatch.setattr(subprocess, "run", silent)
    found = audit(ROOT / "requirements.lock")
    assert found.unknown == "pypi: ERROR: could not connect; osv: ERROR: could not connect"
    assert not found.vulnerable
