"""CPU time and memory of a server's whole process tree, as the kernel counts them. Linux only."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
# From Linux' posix-timers.h: a process's CPU clock is ~pid shifted by three, 2 is the scheduler's own count.
_SCHEDULER_CLOCK: Final = 2


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/<pid>/stat`` tells; times in clock ticks. ``reaped``: of children that have ended."""

    parent: int
    own: int
    reaped: int


def parse_stat(text: str) -> Stat:
    """Read a line of ``/proc/<pid>/stat``; a program's name may hold spaces and brackets."""
    fields = text.rpartition(")")[2].split()
    return Stat(
        parent=int(fields[1]),
        own=int(fields[11]) + int(fields[12]),
        reaped=int(fields[13]) + int(fields[14]),
    )


def parse_kilobytes(text: str, field: str) -> int:
    """Bytes of one field, such as ``VmRSS``, of ``/proc/<pid>/status``; 0 where it is missing."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(parse_stat((entry / "stat").read_text()).parent, []).append(
                    int(entry.name)
                )
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree so far, ended children included.

    Each live process's comes from its CPU clock, which counts nanoseconds where ``stat`` counts ticks of
    ten milliseconds.
    """
    total = 0.0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
            total += parse_stat((_PROC / str(pid) / "stat").read_text()).reaped / _TICKS
    return total


def memory_bytes(root: int) -> int:
    """Resident memory of the tree; what its processes share counts once for each."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += parse_kilobytes((_PROC / str(pid) / "status").read_text(), "VmRSS")
    return total


def proportional_bytes(root: int) -> int:
    """Memory of the tree; a page that its processes share counts once for all of them."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += parse_kilobytes((_PROC / str(pid) / "smaps_rollup").read_text(), "Pss")
    return total


def pin(root: int, cpus: set[int]) -> None:
    """Keep every thread of the tree on these CPUs."""
    for pid in tree(root):
        for task in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), cpus)


# Taken before anything is pinned, ourselves included.
_ALL_CPUS: Final = tuple(sorted(os.sched_getaffinity(0)))


def split_cpus() -> tuple[set[int], set[int]]:
    """One CPU for the server under test and the others for everything else; the same one if there is one."""
    if len(_ALL_CPUS) == 1:
        return set(_ALL_CPUS), set(_ALL_CPUS)
    return {_ALL_CPUS[0]}, set(_ALL_CPUS[1:])


def connections_to(pid: int, port: int) -> int:
    """How many IPv4 connections of this process lead to a port."""
    sockets = set()
    for descriptor in (_PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    rows = [line.split() for line in (_PROC / str(pid) / "net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == port and f"socket:[{row[9]}]" in sockets for row in rows)
