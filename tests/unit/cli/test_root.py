"""The command line as a whole: exit statuses, help, version, and what it costs to be quick."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from app.cli.root import run


def cloakroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["keys", "--help"], ["keys", "new", "--help"], ["keys", "check", "--help"]]
)
def test_help_is_no_failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: cloakroom")


@pytest.mark.parametrize("option", ["--port", "--host", "--replicas", "--redis-url", "--quiet-logs"])
def test_every_option_of_dev_is_explained(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dev", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if f" {option} " in line]
    assert len(line.replace("│", "").split()) > 3


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"cloakroom {version('cloakroom')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "frobnicate"],
        ["keys", "new", "--no-such-option"],
        ["keys", "new", "--only", "everything"],
        ["dev", "--port", "many"],
        ["dev", "--port", "65536"],
        ["dev", "--replicas", "0"],
    ],
)
def test_a_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_the_process_passes_statuses_on() -> None:
    assert cloakroom("keys", "new").returncode == 0
    assert cloakroom("keys", "new", "--admin", "a b").returncode == 1
    assert cloakroom("keys", "new", "--nonsense").returncode == 2


def test_a_quick_command_does_not_load_the_service() -> None:
    script = (
        "import sys\nfrom app.cli.root import run\nrun(['keys', 'new'])\n"
        "sys.exit(','.join(sorted({'aiohttp', 'redis', 'uvloop'} & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
