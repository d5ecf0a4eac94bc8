"""One measurement: a load at a server, and what it cost the server's process tree."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.bench import procfs, wrk
from tests.bench.contenders import Contender
from tests.bench.tools import BenchError
from tests.bench.wrk import Load

# A server at rest uses less than this part of a CPU: health checks, timers.
_AT_REST: Final = 0.2
_LOOK_SECONDS: Final = 0.1
_REST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. ``cpu_us``: CPU microseconds a request; memory in bytes, when the run had ended."""

    requests: int
    failed: int
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    memory: int


def sample(
    contender: Contender, load: Load, *, connections: int, seconds: float, cpus: set[int], alone: bool = True
) -> Sample:
    """Run the load once.

    Args:
        contender: the server, of which the CPU and the memory are read.
        load: what is asked of it.
        connections: of ``wrk``.
        seconds: how long the load lasts.
        cpus: for ``wrk``.
        alone: nothing else asks the server, so it is waited for until it is idle again.

    Raises:
        BenchError: ``wrk`` failed as a program, or not one request came through.
    """
    before = procfs.cpu_seconds(contender.pid)
    outcome = wrk.run(contender.url, load, connections=connections, seconds=seconds, cpus=cpus)
    spent = procfs.cpu_seconds(contender.pid) - before
    if outcome.requests == 0:
        raise BenchError(f"{contender.name} answered nothing within {seconds:.0f} s")
    contender.forget_output()
    if alone:
        until_idle(contender)
    return Sample(
        requests=outcome.requests,
        failed=outcome.failed,
        per_second=outcome.per_second,
        cpu_us=spent / outcome.requests * 1e6,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        max_ms=outcome.max_ms,
        memory=procfs.memory_bytes(contender.pid),
    )


def until_idle(contender: Contender) -> None:
    """Wait until it has finished what the load left behind when it went, so that the next run has the CPU.

    At 256 connections that is two seconds of work for a slow server. It counts for no run.

    Raises:
        BenchError: it does not come to rest.
    """
    deadline = time.monotonic() + _REST_SECONDS
    while time.monotonic() < deadline:
        before = procfs.cpu_seconds(contender.pid)
        time.sleep(_LOOK_SECONDS)
        if procfs.cpu_seconds(contender.pid) - before < _LOOK_SECONDS * _AT_REST:
            return
    raise BenchError(f"{contender.name} still works {_REST_SECONDS:.0f} s after the load has ended")


def summary(samples: Iterable[Sample]) -> dict[str, Any]:
    """Medians of several runs; requests and failures are added up, memory is the last."""
    taken = list(samples)
    middle = {
        name: statistics.median(getattr(one, name) for one in taken)
        for name in ("per_second", "cpu_us", "p50_ms", "p99_ms", "max_ms")
    }
    return {
        "rounds": len(taken),
        "requests": sum(one.requests for one in taken),
        "failed": sum(one.failed for one in taken),
        **middle,
        "cpu_us_each": [round(one.cpu_us, 1) for one in taken],
        "memory_each": [one.memory for one in taken],
        "memory": asdict(taken[-1])["memory"],
    }
