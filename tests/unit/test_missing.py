"""A test that cannot run is a skip with its reason, and on CI a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.programs import required

NOWHERE = "no-such-program-anywhere"


@pytest.mark.parametrize("value", ["true", "1"])
def test_on_ci_what_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match=f"{NOWHERE} is missing: run 'make system'"):
        required(NOWHERE, package="nothing")


def test_elsewhere_it_is_a_skip_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{NOWHERE} is missing: run 'make system'"):
        required(NOWHERE, package="nothing")


def test_what_is_there_is_found_by_its_path() -> None:
    assert required("sh", package="dash").endswith("/sh")


def test_no_other_place_skips_a_test() -> None:
    tests = Path(__file__).parents[1]
    skipping = re.compile(r"pytest\.(skip|importorskip|xfail)\(|mark\.(skip|skipif|xfail)\b")
    found = {
        str(path.relative_to(tests))
        for path in tests.rglob("*.py")
        if "node_modules" not in path.parts and skipping.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"support/missing.py"}
