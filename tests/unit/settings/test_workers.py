"""The setting ``workers``: a number or ``auto``, which is what the process may use and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.settings.groups.listening import MOST_WORKERS
from app.settings.groups.workers import usable_cpus, worker_count
from tests.unit.settings.environments import GOOD, load, problems


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of 8 CPUs without limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return tmp_path


def limit(root: Path, group: str, text: str, *, file: str = "cpu.max") -> None:
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text + "\n", encoding="utf-8")


def groups(root: Path, text: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text, encoding="utf-8")


def test_without_groups_it_is_the_cpus_that_the_process_may_run_on(machine: Path) -> None:
    assert usable_cpus(machine) == 8


@pytest.mark.parametrize(
    ("quota", "cpus"), [("max 100000", 8), ("300000 100000", 3), ("250000 100000", 2), ("50000 100000", 1)]
)
def test_a_quota_of_version_2_counts_and_half_a_cpu_does_not(machine: Path, quota: str, cpus: int) -> None:
    groups(machine, "0::/\n")
    limit(machine, "", quota)
    assert usable_cpus(machine) == cpus


def test_the_tightest_of_the_groups_around_the_process_counts(machine: Path) -> None:
    groups(machine, "0::/system.slice/cloakroom.service\n")
    limit(machine, "system.slice/cloakroom.service", "max 100000")
    limit(machine, "system.slice", "400000 100000")
    assert usable_cpus(machine) == 4


def test_in_a_container_the_path_may_be_the_hosts(machine: Path) -> None:
    groups(machine, "0::/docker/0123456789abcdef\n")
    limit(machine, "", "200000 100000")
    assert usable_cpus(machine) == 2


def test_a_quota_of_version_1_counts(machine: Path) -> None:
    groups(machine, "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n")
    limit(machine, "cpu,cpuacct/box", "500000", file="cpu.cfs_quota_us")
    limit(machine, "cpu,cpuacct/box", "100000", file="cpu.cfs_period_us")
    limit(machine, "cpu,cpuacct", "-1", file="cpu.cfs_quota_us")
    limit(machine, "cpu,cpuacct", "100000", file="cpu.cfs_period_us")
    assert usable_cpus(machine) == 5


def test_this_machine_has_at_least_one() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


def test_a_replica_is_one_process_unless_it_is_told_otherwise() -> None:
    assert worker_count(load()) == 1
    assert worker_count(load(CLOAKROOM_WORKERS="3")) == 3
    assert worker_count(load(CLOAKROOM_WORKERS="auto")) == min(usable_cpus(), MOST_WORKERS)


@pytest.mark.parametrize("value", ["0", "-1", "65", "2.5", "many"])
def test_anything_else_is_refused_in_one_line(value: str) -> None:
    assert problems(CLOAKROOM_WORKERS=value) == ["CLOAKROOM_WORKERS: a number from 1 to 64, or auto"]


def test_workers_share_no_store_that_is_memory() -> None:
    alone = {**GOOD, "CLOAKROOM_ENVIRONMENT": "development", "CLOAKROOM_REDIS_URL": "memory://"}
    assert worker_count(load(alone)) == 1
    (problem,) = problems(alone, CLOAKROOM_WORKERS="2")
    assert "CLOAKROOM_REDIS_URL" in problem
