"""The matrix: its table, its exit status, and what it says where a server cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix import __main__ as matrix
from tests.matrix import servers
from tests.matrix.servers import SOURCES, Source, debians_redis
from tests.matrix.summary import Outcome, read_outcome, status, table
from tests.support.store_server import NoServer, StoreServer, wheels_server

SERVER = StoreServer(Path("/somewhere/redis-server"), "Redis", "7.0.15")
REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="1300" errors="1" failures="2"
skipped="3" time="181.26"><testcase name="one" /></testsuite></testsuites>"""


def reported(folder: Path, text: str, *, ended: int = 1) -> Outcome:
    report = folder / "report.xml"
    report.write_text(text)
    return read_outcome("Debian's redis-server", SERVER, report, ended)


def test_a_server_is_one_line_of_the_table(tmp_path: Path) -> None:
    outcome = reported(tmp_path, REPORT)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1294, 3, 3)
    header, line = table([outcome]).splitlines()
    assert header.split() == ["server", "version", "from", "passed", "failed", "skipped", "seconds"]
    assert line.split() == ["Redis", "7.0.15", "Debian's", "redis-server", "1,294", "3", "3", "181"]
    assert len(line) == len(header)


@pytest.mark.parametrize(
    "text", ["", "<testsuites>", "<testsuites/>", '<testsuites><testsuite tests="1"/></testsuites>']
)
def test_a_report_that_is_not_whole_is_no_success(text: str, tmp_path: Path) -> None:
    outcome = reported(tmp_path, text)
    assert "did not end" in outcome.missing
    assert status([outcome]) == 1


@pytest.mark.parametrize("ended", [2, 3, 5, -9], ids=["interrupted", "a defect", "no tests", "killed"])
def test_a_run_that_was_cut_short_is_no_success_whatever_its_report_says(ended: int, tmp_path: Path) -> None:
    assert "did not end" in reported(tmp_path, REPORT, ended=ended).missing


def test_only_tests_that_ran_and_passed_on_every_server_are_a_success() -> None:
    good = Outcome("here", SERVER, passed=5)
    assert status([good, good]) == 0
    assert status([good, Outcome("there", SERVER, passed=5, failed=1)]) == 1
    assert status([good, Outcome("there", SERVER)]) == 1, "no test at all"
    assert status([good, Outcome("there", missing="no such server")]) == 1


def test_a_server_that_cannot_be_had_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def get() -> StoreServer:
        raise NoServer("apt-get cannot download it: run this")

    monkeypatch.setattr(matrix, "SOURCES", (Source("debian", "Debian's redis-server", get),))
    assert matrix.main(["debian"]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "Debian's redis-server: apt-get cannot download it: run this"


def test_a_server_that_is_not_known_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        matrix.main(["redis6"])
    assert ended.value.code == 2
    assert "there is no server 'redis6': choose from debian, pypi, wheel" in capsys.readouterr().err


def test_without_apt_get_debian_s_server_says_so_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(servers, "CACHE", tmp_path / "servers")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServer, match="there is no apt-get here"):
        debians_redis()
    assert list((tmp_path / "servers").iterdir()) == []


def test_a_user_who_is_not_root_is_told_what_root_has_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(servers, "CACHE", tmp_path / "servers")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServer, match="'sudo apt-get update', then try again"):
        debians_redis()


def test_the_wheel_s_server_is_in_the_matrix() -> None:
    assert [source.get() for source in SOURCES if source.key == "wheel"] == [wheels_server()]
