"""The changelog names each release's commit, and where the commit is missing the test says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.releases import CHANGELOG, Release, check_out, releases

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_each_release_of_the_changelog_names_its_commit() -> None:
    found = releases(CHANGELOG.read_text(encoding="utf-8"))
    assert found[-1].version == "0.1.0"
    assert len({release.commit for release in found}) == len(found)


def test_a_release_without_a_commit_is_a_mistake() -> None:
    text = f"## [0.2.0] - 2027-01-01\n\n## [0.1.0] - 2026-11-27\n\nCommit: `{COMMIT}`.\n"
    with pytest.raises(ValueError, match=r"no commit for 0\.2\.0"):
        releases(text)
    assert releases(text[text.index("## [0.1.0]") :]) == [Release("0.1.0", COMMIT)]


def test_on_ci_a_shallow_clone_fails_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "init", "--quiet", str(shallow)], check=True)
    with pytest.raises(pytest.fail.Exception, match=r"0\.1\.0 is not here.*git fetch --unshallow"):
        check_out(Release("0.1.0", COMMIT), tmp_path / "code", repository=shallow)


def test_elsewhere_it_is_a_skip_with_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    # So that git does not find this repository above the folder.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="git fetch --unshallow"):
        check_out(Release("0.1.0", COMMIT), tmp_path / "code", repository=tmp_path)
