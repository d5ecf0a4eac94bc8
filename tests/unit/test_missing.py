"""A test that cannot run is a skip with its reason, and on CI a failure; no test file is left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import ROOT
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


def test_every_test_file_lies_in_a_folder_that_is_run() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run = [ROOT / folder for folder in settings["tool"]["pytest"]["ini_options"]["testpaths"]]
    assert all(folder.is_dir() for folder in run)
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in file.parts]
    assert len(files) > 300
    assert [file for file in files if not any(file.is_relative_to(folder) for folder in run)] == []
