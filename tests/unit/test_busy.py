"""``make test-busy`` keeps the CPUs busy as long as the suite runs, and no longer, whatever ends it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.busy import busy_cpus
from tests.support.clocks import until
from tests.support.processes import Process

BUSY = re.compile(r"kept busy by processes ([\d, ]+);")


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def on_busy_cpus(suite: Path) -> Process:
    apart = ["--rootdir", str(suite.parent), "-c", os.devnull, "-p", "xdist.plugin"]
    # Other plugins take seconds to load, in which every CPU is kept from the tests beside this one.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return Process(["tests.support.busy", "--workers", "1", str(suite), *apart], alone)


def test_there_is_one_child_for_each_cpu_and_it_ends_with_the_block() -> None:
    with busy_cpus(60) as children:
        assert len(children) == len(os.sched_getaffinity(0))
        assert all(alive(child.pid) for child in children)
    assert not any(alive(child.pid) for child in children)


def test_the_children_end_by_themselves_when_their_time_is_over() -> None:
    with busy_cpus(0.05) as children:
        until(lambda: all(child.poll() == 0 for child in children))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_ended(end: signal.Signals, tmp_path: Path) -> None:
    suite, worker = tmp_path / "test_endless.py", tmp_path / "worker"
    suite.write_text(
        "import os, pathlib, time\n\ndef test_endless():\n"
        f"    pathlib.Path({str(worker)!r}).write_text(f'{{os.getpid()}} ')\n    time.sleep(600)\n"
    )
    with on_busy_cpus(suite) as run:
        until(lambda: worker.exists() and worker.read_text().endswith(" "), lambda: run.output)
        (told,) = BUSY.findall(run.output)
        pids = [*map(int, told.split(", ")), int(worker.read_text())]
        assert all(map(alive, pids))
        run.signal(end)
        assert run.wait() == (-end if end is signal.SIGKILL else 128 + end)
        until(lambda: not any(map(alive, pids)))


def test_a_run_tells_what_the_suite_said_and_how_busy_it_was(tmp_path: Path) -> None:
    suite = tmp_path / "test_red.py"
    suite.write_text("def test_red():\n    assert False\n")
    with on_busy_cpus(suite) as run:
        assert run.wait() == 1
    assert "1 failed" in run.output
    assert "pytest ended with status 1" in run.output
    assert re.search(r"busy [\d.]+ % of the time", run.output)
