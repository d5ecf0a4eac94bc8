"""CPU time and memory of a process tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench import procfs

STAT = (
    "4711 (a (b) c) S 17 4711 4711 0 -1 4194304 1 2 3 4 120 30 7 5 20 0 1 0 100 200 300 "
    "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0"
)
STATUS = "Name:\tpython\nVmHWM:\t   90112 kB\nVmRSS:\t   81920 kB\nThreads:\t1\n"
BURN = "sum(i * i for i in range(3_000_000))"


def test_a_programs_name_with_brackets_does_not_shift_the_fields() -> None:
    assert procfs.parse_stat(STAT) == procfs.Stat(parent=17, own=150, reaped=12)


def test_memory_is_told_in_bytes() -> None:
    assert procfs.parse_kilobytes(STATUS, "VmRSS") == 80 * 1024 * 1024
    assert procfs.parse_kilobytes(STATUS, "VmSwap") == 0


def test_a_child_and_its_child_belong_to_the_tree_and_their_time_counts() -> None:
    inner = f"{BURN}; import sys; print('burnt', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"burnt\n"

        family = procfs.tree(child.pid)
        own = procfs.cpu_seconds(family[1])
        whole = procfs.cpu_seconds(child.pid)

        assert len(family) == 2
        assert set(family) < set(procfs.tree(os.getpid()))
        assert whole > own > 0
        assert procfs.memory_bytes(child.pid) > procfs.memory_bytes(family[1]) > 1_000_000
        child.communicate()


def test_the_time_of_a_child_that_has_ended_still_counts() -> None:
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]);"
        "print('reaped', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"reaped\n"
        stat = procfs.parse_stat(Path(f"/proc/{child.pid}/stat").read_text())

        assert stat.reaped > 0
        assert procfs.cpu_seconds(child.pid) >= stat.reaped / os.sysconf("SC_CLK_TCK")
        child.communicate()


def test_the_server_under_test_shares_no_cpu_with_the_rest_where_there_are_two() -> None:
    mine, others = procfs.split_cpus()

    assert mine
    assert others
    assert mine.isdisjoint(others) or mine == others
