"""``python -m tests.bench.workers``: one replica with 1, 2 and 4 workers; ``make bench-workers`` runs it.

    --workers 1,2,4           how many
    --rounds 3 --seconds 3    of each run; a round has a run of each kind for each number
    --connections 64          of the load

The replica, the load, Redis and the provider share all CPUs of the machine, so the requests a second grow
less than the CPUs: what is left for the replica is measured beside. Memory is also told as the proportional
set size, which counts a page that four processes share as a quarter for each of them.

Writes ``tests/bench/results/workers.json``; ``make bench-report`` makes the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
from collections.abc import Sequence
from typing import Any, Final

from app.store.embedded.engine import LocalEngine
from tests.bench import machine, procfs
from tests.bench.contenders import Cloakroom
from tests.bench.cpu import HANDLES, KINDS
from tests.bench.measure import sample
from tests.bench.nginx import Provider
from tests.bench.tools import RESULTS, Progress, find, run_to_end
from tests.bench.wrk import Load

NUMBERS: Final = (1, 2, 4)


class Crew(Cloakroom):
    """A replica of so many workers, all of which listen."""

    def __init__(self, workers: int, *, provider: str, redis: str, cpus: set[int]) -> None:
        super().__init__(
            provider=provider,
            redis=redis,
            cpus=cpus,
            name=f"workers-{workers}",
            more={"CLOAKROOM_WORKERS": str(workers)},
        )
        self.workers = workers
        if workers > 1:
            with contextlib.ExitStack() as stack:
                stack.callback(self.stop)
                self.wait_for_event("workers_listening", seconds=300)
                stack.pop_all()

    def processes(self) -> list[int]:
        """The workers, without their supervisor; a single process is its own worker."""
        return procfs.tree(self.pid)[1:] or [self.pid]

    def loads(self) -> dict[str, Load]:
        return {
            "mint, limited": self.mint(limited=True),
            "mint": self.mint(limited=False),
            "relay": self.relay(HANDLES),
        }


def measured(crew: Crew, load: Load, *, connections: int, seconds: int, cpus: set[int]) -> dict[str, float]:
    """One run: throughput, waits, and how evenly the workers shared the work."""
    before = {pid: procfs.cpu_seconds(pid) for pid in crew.processes()}
    taken = sample(crew, load, connections=connections, seconds=seconds, cpus=cpus)
    spent = [procfs.cpu_seconds(pid) - began for pid, began in before.items()]
    return {
        "per_second": taken.per_second,
        "cpu_us": taken.cpu_us,
        "p50_ms": taken.p50_ms,
        "p99_ms": taken.p99_ms,
        "failed": taken.failed,
        # CPUs that the replica had, and the busiest worker's part of them.
        "cpus": sum(spent) / seconds,
        "busiest": max(spent) / sum(spent),
    }


def memory(crew: Crew) -> dict[str, int]:
    """Of the whole tree with the supervisor, in bytes."""
    return {"resident": procfs.memory_bytes(crew.pid), "proportional": procfs.proportional_bytes(crew.pid)}


def compare(numbers: Sequence[int], *, rounds: int, seconds: int, connections: int) -> dict[str, Any]:
    """Run it all and return what ``results/workers.json`` holds.

    Raises:
        BenchError: something is missing or did not start.
    """
    found = machine.facts()
    cpus = set(os.sched_getaffinity(0))
    progress = Progress((rounds + 1) * len(numbers) * len(KINDS))
    runs: dict[int, dict[str, list[dict[str, float]]]] = {number: {} for number in numbers}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(LocalEngine())
        provider = stack.enter_context(Provider(cpus=cpus))
        crews = [
            stack.enter_context(Crew(number, provider=provider.url, redis=engine.url, cpus=cpus))
            for number in numbers
        ]
        idle = {crew.workers: memory(crew) for crew in crews}
        work = {crew.workers: crew.loads() for crew in crews}
        for this in range(rounds + 1):
            for kind in KINDS:
                for crew in crews:
                    progress.step(
                        f"{f'round {this}' if this else 'warming up'}: {crew.workers} workers, {kind}"
                    )
                    load = work[crew.workers][kind]
                    one = measured(crew, load, connections=connections, seconds=seconds, cpus=cpus)
                    if this:
                        runs[crew.workers].setdefault(kind, []).append(one)
        warm = {crew.workers: memory(crew) for crew in crews}
    workers = {
        str(number): {
            "idle": idle[number],
            "warm": warm[number],
            "runs": {kind: _middle(each) for kind, each in runs[number].items()},
        }
        for number in numbers
    }
    return {**found, "rounds": rounds, "seconds": seconds, "connections": connections, "workers": workers}


def _middle(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians; failures are added up."""
    middle = {name: statistics.median(one[name] for one in each) for name in each[0]}
    return {**middle, "failed": sum(one["failed"] for one in each)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.workers", description="One replica with 1, 2 and 4 workers."
    )
    parser.add_argument("--workers", default=",".join(map(str, NUMBERS)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args()
    for name in ("wrk", "nginx"):
        find(name)
    numbers = [int(number) for number in chosen.workers.split(",")]
    found = compare(numbers, rounds=chosen.rounds, seconds=chosen.seconds, connections=chosen.connections)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "workers.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {RESULTS / 'workers.json'}; make bench-report makes the pages\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
