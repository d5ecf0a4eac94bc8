"""One version: its copies agree, and a tag is refused that the tree or the changelog does not bear out."""

from __future__ import annotations

import subprocess

import pytest

import app
from tests.release.versions import copies, copy_problems, released_version, tag_problems, version
from tests.support.page import ROOT


def test_the_copies_of_the_version_agree_with_it() -> None:
    assert list(copy_problems()) == []
    assert len(copies()) == 4


def test_the_code_knows_its_version_from_its_metadata() -> None:
    assert app.__version__ == version()


def test_a_copy_that_disagrees_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.release.versions.copies", lambda: {"Chart.yaml: version": "0.0.1"})
    (problem,) = copy_problems()
    assert problem.startswith("Chart.yaml: version is 0.0.1, and pyproject.toml leads to ")


def test_a_development_version_leads_to_its_release() -> None:
    assert released_version("0.2.0.dev0") == "0.2.0"
    assert released_version("1.0.0") == "1.0.0"


def commit(name: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", name], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def changelog(monkeypatch: pytest.MonkeyPatch) -> str:
    """A changelog of a release that is this very tree."""
    monkeypatch.setattr("tests.release.versions.version", lambda: "9.9.9")
    return f"## [9.9.9] - 2027-01-01\n\nCommit: `{commit('HEAD')}`.\n"


def test_a_tag_of_another_version_is_refused(changelog: str) -> None:
    assert any("a release is tagged v9.9.9" in line for line in tag_problems("v9.9.8", changelog))
    assert any("a release is tagged v9.9.9" in line for line in tag_problems("9.9.9", changelog))


def test_a_version_that_the_changelog_lacks_is_refused(changelog: str) -> None:
    other = changelog.replace("9.9.9", "9.9.8")
    assert list(tag_problems("v9.9.9", other)) == ["CHANGELOG.md has no heading '## [9.9.9] - YYYY-MM-DD'"]


def test_a_release_without_its_commit_is_refused(changelog: str) -> None:
    (problem,) = tag_problems("v9.9.9", changelog.partition("Commit")[0])
    assert "names no commit for 9.9.9" in problem


def test_a_commit_that_is_not_here_is_refused(changelog: str) -> None:
    (problem,) = tag_problems("v9.9.9", changelog.replace(commit("HEAD"), "0" * 40))
    assert "is not in this clone" in problem


def test_a_commit_of_another_version_or_of_other_code_is_refused(changelog: str) -> None:
    """The commit of 0.1.0, which the changelog names, has both."""
    problems = list(
        tag_problems("v9.9.9", changelog.replace(commit("HEAD"), "30afc1659416142de709a8abde06790800435cae"))
    )
    assert any("has the version '0.1.0'" in line for line in problems)
    assert any("app/ has changed since" in line for line in problems)


def test_a_tree_that_is_as_named_has_one_thing_left(changelog: str) -> None:
    """All but the version at the commit, which this tree does not have."""
    (problem,) = tag_problems("v9.9.9", changelog)
    assert "has the version" in problem
