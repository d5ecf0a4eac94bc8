"""``make test-busy`` keeps the CPUs busy as long as the suite runs, and no longer, whatever ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.busy import busy_cpus
from tests.support.clocks import until
from tests.support.processes import Process

BUSY = re.compile(r"kept busy by processes ([\d, ]+);")


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not reaped does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_there_is_one_child_for_each_cpu_and_it_ends_with_the_block() -> None:
    children: list[subprocess.Popen[bytes]] = []
    with pytest.raises(KeyboardInterrupt), busy_cpus(60) as running:
        children += running
        assert len(running) == len(os.sched_getaffinity(0))
        assert all(alive(child.pid) for child in running)
        raise KeyboardInterrupt
    assert not any(alive(child.pid) for child in children)


def test_the_children_end_by_themselves_when_their_time_is_over() -> None:
    with busy_cpus(0.05) as children:
        until(lambda: all(child.poll() == 0 for child in children))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_ended(end: signal.Signals, tmp_path: Path) -> None:
    suite = tmp_path / "test_endless.py"
    suite.write_text(
        "import os, time\n\ndef test_endless():\n"
        f"    open({str(tmp_path / 'worker')!r}, 'w').write(f'{{os.getpid()}} ')\n    time.sleep(600)\n"
    )
    arguments = [
        "tests.support.busy",
        "--workers",
        "1",
        str(suite),
        "--rootdir",
        str(tmp_path),
        "-c",
        os.devnull,
    ]
    with Process(arguments, {}) as run:
        until(
            lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text().endswith(" "),
            run.output,
        )
        (told,) = BUSY.findall(run.output)
        pids = [*map(int, told.split(", ")), int((tmp_path / "worker").read_text())]
        assert all(map(alive, pids))
        run.signal(end)
        assert run.wait() == (-end if end is signal.SIGKILL else 128 + end)
        until(lambda: not any(map(alive, pids)))


def test_a_run_tells_what_the_suite_said_and_how_busy_it_was(tmp_path: Path) -> None:
    suite = tmp_path / "test_red.py"
    suite.write_text("def test_red():\n    assert False\n")
    arguments = [
        "tests.support.busy",
        "--workers",
        "1",
        str(suite),
        "--rootdir",
        str(tmp_path),
        "-c",
        os.devnull,
    ]
    with Process(arguments, {}) as run:
        assert run.wait() == 1
    assert "1 failed" in run.output
    assert "pytest ended with status 1" in run.output
    assert re.search(r"busy [\d.]+ % of the time", run.output)
