"""How many workers a replica has: what ``CLOAKROOM_WORKERS=auto`` means, and what counts for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from app.settings.groups.listening import MOST_WORKERS, ListeningSettings

# Settings that limit one process. A worker is one, so all workers together may have as often as much.
FOR_EACH_WORKER: Final = (
    "max_in_flight",
    "sideband_max",
    "held_calls_max",
    "metering_max",
    "redis_max_connections",
    "connections_per_address",
    "refused_credentials_per_minute",
)
_GROUPS: Final = Path("proc/self/cgroup")
_MOUNT: Final = Path("sys/fs/cgroup")


def worker_count(settings: ListeningSettings, *, cpus: int | None = None) -> int:
    """The number of workers that the settings ask for; ``cpus`` may be used, by default ``usable_cpus``."""
    if settings.workers != "auto":
        return settings.workers
    return min(usable_cpus() if cpus is None else cpus, MOST_WORKERS)


def usable_cpus(root: Path = Path("/")) -> int:
    """The CPUs that this process may run on, as far as its control groups have the time for them; at least 1.

    Half a CPU does not count. A worker for it would use the time up early, and then all workers stand still
    until the kernel's next period.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(int, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The CPUs that each control group around this process has the time for, where one is limited."""
    for line in _read(root / _GROUPS).splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        # Version 2 has one line without controllers. In a container the path may be that of the host.
        if controllers == "":
            for folder in _upwards(root / _MOUNT, group):
                yield from _ratio(*_read(folder / "cpu.max").split()[:2])
        elif "cpu" in controllers.split(","):
            for folder in _upwards(root / _MOUNT / controllers, group):
                yield from _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    inside = PurePosixPath(group.lstrip("/"))
    yield from (mount / part for part in (inside, *inside.parents))


def _ratio(quota: str = "", period: str = "") -> Iterator[float]:
    # "max" and -1 stand for no limit.
    if quota.strip().isdecimal() and period.strip().isdecimal() and int(period):
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
