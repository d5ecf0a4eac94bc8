"""What callgrind and py-spy wrote, read; and the programs that are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench import callgrind, pyspy, tools
from tests.bench.fill import CLIENTS, LEAVER
from tests.bench.program import Program
from tests.bench.tools import BenchError
from tests.support.clocks import PATIENCE, until

# A function of 10 + 7 instructions of its own that calls another one twice, which costs 40 in all.
CALLGRIND = """\
# callgrind format
events: Ir
summary: 57

fl=(1) eval.c
fn=(1) outer
16 10
cfn=(2) inner
calls=2 30
+1 40
+2 7

fn=(2)
30 40
"""


def test_a_callees_cost_is_not_counted_twice() -> None:
    costs = callgrind.self_costs(CALLGRIND.splitlines())

    assert costs == {"outer": 17, "inner": 40}
    assert sum(costs.values()) == 57


def test_samples_count_once_for_a_function_that_calls_itself() -> None:
    folded = ["main (m.py:1);walk (w.py:2);walk (w.py:3) 6", "main (m.py:9) 2", ""]

    found = pyspy.shares(folded)

    assert found.samples == 8
    assert dict(found.own) == {"walk (w.py)": 0.75, "main (m.py)": 0.25}
    assert dict(found.cumulative) == {"main (m.py)": 1.0, "walk (w.py)": 0.75}


def test_a_thread_that_waits_for_work_counts_for_nothing() -> None:
    folded = ["main (m.py:1) 3", "_bootstrap (threading.py:1);_worker (concurrent/futures/thread.py:81) 5"]

    found = pyspy.shares(folded)

    assert found.samples == 3
    assert dict(found.cumulative) == {"main (m.py)": 1.0}


def test_a_missing_program_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "BENCH_VENV", tmp_path)
    monkeypatch.setattr(tools, "SYSTEM_PLACES", str(tmp_path))

    with pytest.raises(BenchError, match="'wrk' is not installed: sudo apt-get install wrk"):
        tools.find("wrk")


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words() -> None:
    with (
        Program(
            "broken", ["/bin/sh", "-c", "echo no such option; exit 2"], {}, cpus=os.sched_getaffinity(0)
        ) as program,
        pytest.raises(BenchError, match=r"broken is not ready; it said:\nno such option"),
    ):
        program.wait_for_event("ready", seconds=PATIENCE)


def test_a_stopped_program_leaves_no_child_behind() -> None:
    script = 'sleep 60 & echo "{\\"event\\": \\"ready\\", \\"child\\": $!}"; wait'
    with Program("parent", ["/bin/sh", "-c", script], {}, cpus=os.sched_getaffinity(0)) as program:
        child = program.wait_for_event("ready", seconds=PATIENCE)["child"]
        assert Path(f"/proc/{child}").exists()

    until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    """Whether the process is there and has not ended; nobody may have reaped it yet."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_client_that_leaves_is_none_of_the_others() -> None:
    assert LEAVER not in {f"client-{number}" for number in range(CLIENTS)}
