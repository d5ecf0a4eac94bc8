"""The workflows: pinned, with no more rights than they need, and of the commands that a person runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.page import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key "on" as true.
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in found.items()}


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in read(file)["jobs"].values():
        yield from job["steps"]


@each_workflow
def test_each_action_is_pinned_by_its_commit(file: Path) -> None:
    uses = re.findall(r"^\s*(?:- )?uses: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    for action in uses:
        # The version beside it is for people, and for what proposes updates.
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_action_has_one_commit_everywhere() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in WORKFLOWS)
    found = dict[str, set[str]]()
    for name, commit in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", text):
        found.setdefault(name, set()).add(commit)
    assert {name for name, commits in found.items() if len(commits) > 1} == set()


@each_workflow
def test_the_token_may_read_unless_a_job_says_more(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        # Only what publishes may write, and it waits for the checks.
        if "write" in job.get("permissions", {}).values():
            assert "check" in job["needs"], name
            assert job["environment"], name


@each_workflow
def test_no_step_keeps_the_token_or_puts_foreign_text_into_a_shell(file: Path) -> None:
    for step in steps(file):
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # A tag's or a branch's name is whoever pushes it; through a variable it is no code.
        for expression in re.findall(r"\$\{\{\s*(.+?)\s*\}\}", str(step.get("run", ""))):
            assert expression == "matrix.name", expression


def test_the_check_is_what_ci_runs() -> None:
    commands = [step["run"] for step in steps(ROOT / ".github/workflows/check.yml") if "run" in step]
    assert "bash .ci/run" in commands
    assert "make audit" in commands


def test_a_tag_is_checked_before_anything_is_published() -> None:
    workflow = read(ROOT / ".github/workflows/release.yml")
    commands = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    assert any("make release-check TAG=" in command for command in commands)
    assert "make audit" in commands
    assert workflow["on"]["push"]["tags"] == ["v[0-9]+.[0-9]+.[0-9]+"]
    for name, job in workflow["jobs"].items():
        assert name == "check" or "check" in job["needs"]


def test_the_wheel_needs_no_stored_token() -> None:
    job = read(ROOT / ".github/workflows/release.yml")["jobs"]["wheel"]
    assert job["permissions"] == {"id-token": "write"}
    assert "secrets." not in str(job)


def test_each_image_is_a_target_of_the_dockerfile() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    image = read(ROOT / ".github/workflows/release.yml")["jobs"]["image"]
    targets = {one["target"] for one in image["strategy"]["matrix"]["include"]}
    assert targets == {"service", "sandbox"}
    assert all(f" AS {target}\n" in text for target in targets)
    assert all(f"ARG {name}=" in text for name in ("VERSION", "REVISION"))
