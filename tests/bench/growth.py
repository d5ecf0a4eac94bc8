"""``python -m tests.bench.growth``: what work costs as the store fills, with a second replica, on a Cluster.

    --sizes 1,10000,100000,1000000    live handles
    --rounds 3                        of one second each, at every size

Writes ``tests/bench/results/growth.json``. ``make bench-growth`` runs it; the pages come from the report.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any, Final

import redis

from app.store.embedded.engine import LocalEngine
from tests.bench import machine, procfs, traffic
from tests.bench.contenders import Cloakroom, Contender, Floor
from tests.bench.cpu import KINDS, level_trips, loads
from tests.bench.fill import fill
from tests.bench.measure import Sample, sample
from tests.bench.nginx import Provider
from tests.bench.operators import LongestCommand, beside_operator, operations, operator_times
from tests.bench.tools import RESULTS, Progress, find, run_to_end
from tests.bench.topology import on_a_cluster, with_two_replicas

SIZES: Final = (1, 10_000, 100_000, 1_000_000)
_CONNECTIONS: Final = 32


class Grown:
    """One store, one replica and the floor; asked at one size after another."""

    def __init__(self, engine: LocalEngine, cloakroom: Cloakroom, floor: Floor, progress: Progress) -> None:
        self._engine = engine
        self._cloakroom = cloakroom
        self._contenders: tuple[Contender, ...] = (cloakroom, floor)
        self._progress = progress
        self._others = procfs.split_cpus()[1]
        self._store: redis.Redis = redis.Redis.from_url(engine.url, decode_responses=True)

    def at(self, size: int, rounds: int) -> dict[str, Any]:
        """Fill an empty store up to this size and measure."""
        # By itself Valkey frees the memory later, which would count for the handles that come.
        self._store.execute_command("FLUSHALL", "SYNC")
        before = self._used()
        started = time.monotonic()
        fill(self._engine.url, size, told=self._progress.say)
        found: dict[str, Any] = {
            "handles": size,
            "bytes_per_handle": (self._used() - before) / size,
            "fill_seconds": time.monotonic() - started,
            "store_memory": self._used(),
        }
        work = {one.name: loads(one) for one in self._contenders}
        cloakroom = self._contenders[0]
        counted = {
            kind: traffic.count(self._engine.url, cloakroom.url, load)
            for kind, load in work["cloakroom"].items()
        }
        found["round_trips"] = {kind: one.round_trips for kind, one in counted.items()}
        found["commands"] = {kind: one.commands for kind, one in counted.items()}
        found["store_traffic"] = {
            kind: {"received": one.received, "sent": one.sent} for kind, one in counted.items()
        }
        found["footprint"] = traffic.footprint(self._store, cloakroom, self._cloakroom.log, work["cloakroom"])
        found["runs"] = self._runs(work, rounds)
        with LongestCommand(self._engine.url) as longest:
            found["operations"] = {**operations(self._engine.url), **operator_times(self._cloakroom)}
        found["operations"]["longest_command_ms"] = longest.milliseconds
        return found

    def beside_operator(self) -> dict[str, Any]:
        """Requests while an operator lists everything that is there."""
        work = loads(self._cloakroom)
        return beside_operator(self._cloakroom, work, connections=_CONNECTIONS, cpus=self._others)

    def _runs(self, work: dict[str, Any], rounds: int) -> dict[str, Any]:
        taken: dict[tuple[str, str], list[tuple[Sample, float]]] = {}
        for number in range(rounds + 1):
            for kind in KINDS:
                for contender in self._contenders:
                    spent = procfs.cpu_seconds(self._engine.pid)
                    one = sample(
                        contender,
                        work[contender.name][kind],
                        connections=_CONNECTIONS,
                        seconds=1,
                        cpus=self._others,
                    )
                    spent = procfs.cpu_seconds(self._engine.pid) - spent
                    if number:
                        pair = (one, spent / one.requests * 1e6)
                        taken.setdefault((contender.name, kind), []).append(pair)
        runs: dict[str, Any] = {}
        for (name, kind), pairs in taken.items():
            runs.setdefault(name, {})[kind] = {
                "cpu_us": statistics.median(one.cpu_us for one, _ in pairs),
                "store_cpu_us": statistics.median(spent for _, spent in pairs),
                "failed": sum(one.failed for one, _ in pairs),
            }
        return runs

    def _used(self) -> int:
        return int(self._store.info("memory")["used_memory"])


def grow(sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Everything that ``results/growth.json`` holds.

    Raises:
        BenchError: something is missing, did not start, or refused.
    """
    mine, others = procfs.split_cpus()
    os.sched_setaffinity(0, others)
    progress = Progress(len(sizes) + 3)
    with LocalEngine() as engine, Provider(cpus=others) as provider:
        procfs.pin(engine.pid, others)
        where: dict[str, Any] = {"provider": provider.url, "redis": engine.url, "cpus": mine}
        with Floor(**where) as floor, Cloakroom(**where) as cloakroom:
            level_trips(engine.url, floor, cloakroom)
            grown = Grown(engine, cloakroom, floor, progress)
            found = []
            for size in sizes:
                progress.step(f"{size:,} live handles")
                found.append(grown.at(size, rounds))
            progress.step("beside an operator")
            beside = grown.beside_operator()
        progress.step("two replicas")
        replicas = with_two_replicas(where, rounds, store=engine.pid)
        progress.step("a Cluster of three")
        clustered = on_a_cluster(where, rounds, store=engine.pid)
    return {**machine.facts(), "sizes": found, "beside": beside, "replicas": replicas, "cluster": clustered}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description="Cost as work grows.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of live handles")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    for name in ("wrk", "nginx"):
        find(name)
    found = grow(tuple(int(size) for size in chosen.sizes.split(",")), chosen.rounds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {RESULTS / 'growth.json'}; make bench-report makes the pages\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
