"""``python -m tests.bench``: the comparison with the floor and LiteLLM; ``make bench`` runs it.

    --rounds 4 --seconds 2    of each run; a round has 24 runs

The servers take turns on one machine: each round loads every server with every kind of request at 32, 1
and 256 connections. Figures are medians over the rounds; a first round warms up and does not count.

Writes ``tests/bench/results/bench.json``; ``make bench-report`` makes the pages and pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from app.store.embedded.engine import LocalEngine
from tests.bench import machine, procfs, traffic
from tests.bench.contenders import Cloakroom, Contender, Floor
from tests.bench.cpu import KINDS, level_trips, loads
from tests.bench.litellm import LiteLlm
from tests.bench.measure import Sample, sample, summary
from tests.bench.nginx import Provider
from tests.bench.tools import RESULTS, Progress, find, run_to_end
from tests.bench.wrk import Load

CONNECTIONS: Final = (32, 1, 256)
# LiteLLM answers a hundred requests a second: as steady a figure takes longer, and the first of 256
# answers may take seconds.
_PATIENCE: Final = {("litellm", 1): 2, ("litellm", 32): 2, ("litellm", 256): 4}

# By kind of request, connections and name of the server.
Key = tuple[str, int, str]


class Comparison:
    """The servers and their loads; a context that stops whatever it started."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stack = ExitStack()

    def __enter__(self) -> Comparison:
        self._mine, self._others = procfs.split_cpus()
        os.sched_setaffinity(0, self._others)
        with ExitStack() as stack:
            self._progress.say("starting Redis, nginx, the floor, Cloakroom and LiteLLM")
            engine = stack.enter_context(LocalEngine())
            procfs.pin(engine.pid, self._others)
            provider = stack.enter_context(Provider(cpus=self._others))
            where: dict[str, Any] = {"provider": provider.url, "redis": engine.url, "cpus": self._mine}
            floor = stack.enter_context(Floor(**where))
            cloakroom = stack.enter_context(Cloakroom(**where))
            rival = stack.enter_context(LiteLlm(**where))
            self.contenders: list[Contender] = [floor, cloakroom, rival]
            self.idle = {one.name: procfs.memory_bytes(one.pid) for one in self.contenders}
            self.trips = {"cloakroom": level_trips(engine.url, floor, cloakroom)}
            self._loads = {one.name: loads(one) for one in self.contenders}
            for one in (floor, rival):
                self.trips[one.name] = {
                    kind: traffic.count(engine.url, one.url, load).round_trips
                    for kind, load in self._loads[one.name].items()
                }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def work(self) -> Iterator[tuple[str, int, Contender, Load]]:
        """Every run of a round. LiteLLM's limits want a database: it mints without one only."""
        for connections in CONNECTIONS:
            for kind in KINDS:
                for contender in self.contenders:
                    if contender.name != "litellm" or kind != "mint, limited":
                        yield kind, connections, contender, self._loads[contender.name][kind]

    def rounds(self, number: int, seconds: int) -> tuple[dict[Key, list[Sample]], dict[str, list[int]]]:
        """The samples, and each server's memory after each round."""
        samples: dict[Key, list[Sample]] = {}
        memory: dict[str, list[int]] = {one.name: [] for one in self.contenders}
        for this in range(number + 1):
            for kind, connections, contender, load in self.work():
                what = f"round {this} of {number}" if this else "warming up"
                self._progress.step(f"{what}: {contender.name}, {kind}, {connections} connections")
                lasting = (seconds if this else 1) * _PATIENCE.get((contender.name, connections), 1)
                taken = sample(contender, load, connections=connections, seconds=lasting, cpus=self._others)
                if this:
                    samples.setdefault((kind, connections, contender.name), []).append(taken)
            for one in self.contenders:
                memory[one.name].append(procfs.memory_bytes(one.pid))
        return samples, memory


def compare(rounds: int, seconds: int) -> dict[str, Any]:
    """Run it all and return what ``results/bench.json`` holds.

    Raises:
        BenchError: something is missing or did not start.
    """
    found = machine.facts()
    runs_a_round = len(CONNECTIONS) * (3 * len(KINDS) - 1)
    with Comparison(Progress((rounds + 1) * runs_a_round)) as comparison:
        samples, memory = comparison.rounds(rounds, seconds)
        idle, counted = comparison.idle, comparison.trips
    servers: dict[str, Any] = {
        name: {
            "idle_memory": idle[name],
            "memory_after_each_round": memory[name],
            "round_trips": counted[name],
            "runs": {},
        }
        for name in idle
    }
    for (kind, connections, name), taken in samples.items():
        servers[name]["runs"].setdefault(kind, {})[str(connections)] = summary(taken)
    return {**found, "rounds": rounds, "seconds": seconds, "servers": servers}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Cloakroom beside a bare server and LiteLLM."
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=2)
    chosen = parser.parse_args()
    # Before minutes have gone into it.
    for name in ("wrk", "nginx", "litellm"):
        find(name)
    found = compare(chosen.rounds, chosen.seconds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {RESULTS / 'bench.json'}; make bench-report makes the pages\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
