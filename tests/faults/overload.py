"""Promise 10: three times the load that a replica can do is shed, and slow callers take nobody's place.

One replica has a CPU for itself, as in production. The store, a provider that answers at once and the load
have the others. Needs nginx and wrk, as the benchmarks do: ``sh tests/bench/system_packages.sh``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from app.store.embedded.engine import LocalEngine
from tests.bench import procfs, wrk
from tests.bench.contenders import Cloakroom
from tests.bench.nginx import Provider
from tests.bench.open_loop import OpenLoop, Told
from tests.bench.wrk import Load, Outcome
from tests.faults.drill import Drill, Figures, Progress
from tests.support.clocks import PATIENCE, until
from tests.support.idlers import Idlers

HANDLES: Final = 500
SECONDS: Final = 8.0
USUAL: Final = 0.7
OVERLOAD: Final = 3.0
# Of each connection of the crowd, far longer than an answer takes: its load does not wait for answers.
PAUSE_SECONDS: Final = 0.2
REFUSED_WITHIN_MS: Final = 50.0
# Of its capacity, while it refuses the rest.
STILL_SERVED: Final = 0.5
IDLE, SLOW_HEADS, SLOW_BODIES = 5000, 500, 500
_PROBE_SECONDS: Final = 0.2
# Thousands of them, who share this machine's address.
MANY_CALLERS: Final = {"CLOAKROOM_CONNECTIONS_PER_ADDRESS": "0"}


@dataclass
class Target:
    """One replica under load, and its probes as a load balancer sends them."""

    url: str
    loads: list[Load]
    cpus: set[int]
    client_key: str
    pid: int
    probes: int = 0
    failed_probes: list[str] = field(default_factory=list)

    def load(self, rate: float | None, seconds: float, connections: int = 512) -> Told:
        """Run one load."""
        with OpenLoop(
            self.url, self.loads, rate=rate, seconds=seconds, cpus=self.cpus, connections=connections
        ) as running:
            return running.result()

    def flood(self, rate: float, seconds: float) -> tuple[Told, list[Outcome]]:
        """Offer so many requests a second: the measured load and, for the rest, one that needs little CPU."""
        more = (rate - rate / OVERLOAD * USUAL) / len(self.loads)
        told: list[Outcome] = []

        def crowd(load: Load) -> None:
            told.append(
                wrk.run(
                    self.url,
                    load,
                    connections=round(more * PAUSE_SECONDS),
                    seconds=seconds,
                    cpus=self.cpus,
                    pause_ms=PAUSE_SECONDS * 1000,
                )
            )

        crowds = [threading.Thread(target=crowd, args=(load,)) for load in self.loads]
        for one in crowds:
            one.start()
        measured = self.load(rate / OVERLOAD * USUAL, seconds)
        for one in crowds:
            one.join()
        return measured, told

    def calm(self) -> None:
        """Wait until it no longer sheds."""

        def sheds_nothing() -> bool:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
                return b"\ncloakroom_shedding 0.0" in answer.read()

        until(sheds_nothing, "load is shed for ever")

    def probe(self, ended: threading.Event) -> None:
        """Ask for readiness again and again, each time over a new connection."""
        while not ended.wait(_PROBE_SECONDS):
            self.probes += 1
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=PATIENCE) as answer:
                    answer.read()
            except (urllib.error.URLError, OSError) as error:
                self.failed_probes.append(str(error))


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """Start everything, and probe readiness all the while."""
    mine, others = procfs.split_cpus()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, others)
    try:
        with (
            LocalEngine() as engine,
            Provider(cpus=others) as provider,
            Cloakroom(provider=provider.url, redis=engine.url, cpus=mine, more=MANY_CALLERS) as replica,
        ):
            procfs.pin(engine.pid, others)
            loads = [replica.mint(limited=True), replica.relay(HANDLES)]
            found = Target(replica.url, loads, others, replica.planted.client_key, replica.pid)
            ended = threading.Event()
            prober = threading.Thread(target=found.probe, args=(ended,))
            prober.start()
            try:
                yield found
            finally:
                ended.set()
                prober.join()
    finally:
        os.sched_setaffinity(0, before)


async def shed(progress: Progress, rounds: int) -> Figures:
    """Offer 0.7 and 3 times the capacity by turns."""
    return await asyncio.to_thread(_shed, progress, rounds)


def _shed(progress: Progress, rounds: int) -> Figures:
    usual: list[Told] = []
    over: list[Told] = []
    crowds: list[Outcome] = []
    with target() as replica:
        replica.load(None, 2, connections=64)
        capacity = replica.load(None, SECONDS / 2, connections=64)
        rate = capacity.accepted / capacity.seconds
        progress.say(f"capacity {rate:,.0f}/s, half mints and half relays")
        for done in range(1, rounds + 1):
            usual.append(replica.load(rate * USUAL, SECONDS))
            spent, begun = procfs.cpu_seconds(replica.pid), time.monotonic()
            told, crowd = replica.flood(rate * OVERLOAD, SECONDS)
            over.append(told)
            crowds += crowd
            replica.calm()
            share = (procfs.cpu_seconds(replica.pid) - spent) / (time.monotonic() - begun)
            progress.say(f"round {done} of {rounds}: {_line(usual[-1])}; {_line(over[-1])}; CPU {share:.0%}")
        after = replica.load(rate * USUAL, SECONDS)
    figures = _figures(rate, usual, over, crowds)
    figures["readiness probes"] = replica.probes
    refused = {status for told in over for status in told.later if status.isdigit()} - {"200", "201", "503"}
    assert not refused, (refused, figures)
    assert not replica.failed_probes, (replica.failed_probes, figures)
    assert all(told.by_status["503"].told_when == told.by_status["503"].count for told in over), figures
    assert not any(told.lost or told.unsent for told in (*usual, *over, after)), figures
    assert not any("503" in told.by_status for told in (*usual, after)), ("refused below capacity", figures)
    assert float(figures["p99 accepted, times"]) <= 2, figures
    assert float(figures["p99.9 refused, ms"]) < REFUSED_WITHIN_MS, figures
    assert float(figures["offered, times"]) > 2, figures
    assert float(figures["still served"]) >= STILL_SERVED, figures
    return figures


def _line(told: Told) -> str:
    parts = [
        f"{status} {one.count:,} p99 {one.p99_ms} ms"
        for status, one in sorted(told.later.items())
        if not status.startswith("20")
    ]
    return f"{', '.join(parts)} (late {told.late_p99_ms} ms, {told.connections} connections)"


def _figures(rate: float, usual: list[Told], over: list[Told], crowds: list[Outcome]) -> Figures:
    def middle(runs: list[Told], status: str, name: str) -> float:
        return float(statistics.median(getattr(told.later[status], name) for told in runs))

    offered = sum(told.sent for told in over) + sum(crowd.requests for crowd in crowds)
    accepted = sum(told.accepted for told in over) + sum(crowd.requests - crowd.failed for crowd in crowds)
    could = rate * SECONDS * len(over)
    unloaded, loaded = middle(usual, "2xx", "p99_ms"), middle(over, "2xx", "p99_ms")
    return {
        "capacity, requests/s": round(rate),
        "offered, times": round(offered / could, 2),
        "offered": offered,
        "accepted": accepted,
        "still served": round(accepted / could, 2),
        "p50 at 0.7 times, ms": middle(usual, "2xx", "p50_ms"),
        "p50 accepted at 3 times, ms": middle(over, "2xx", "p50_ms"),
        "p99 at 0.7 times, ms": unloaded,
        "p99 accepted at 3 times, ms": loaded,
        "p99 accepted, times": round(loaded / unloaded, 2),
        "p99 accepted with the first second, ms": statistics.median(
            told.by_status["2xx"].p99_ms for told in over
        ),
        "p99 refused, ms": middle(over, "503", "p99_ms"),
        "p99.9 refused, ms": middle(over, "503", "p999_ms"),
        "longest refused, ms": max(told.later["503"].max_ms for told in over),
    }


async def slow_callers(progress: Progress, rounds: int) -> Figures:
    """The usual load beside thousands of callers that send nothing, or slowly."""
    return await asyncio.to_thread(_slow_callers, progress, rounds)


def _slow_callers(progress: Progress, rounds: int) -> Figures:
    alone: list[Told] = []
    beside: list[Told] = []
    with target() as replica:
        replica.load(None, 2, connections=64)
        capacity = replica.load(None, SECONDS / 2, connections=64)
        rate = capacity.accepted / capacity.seconds * USUAL
        memory = procfs.memory_bytes(replica.pid)
        most = 0
        for done in range(1, rounds + 1):
            alone.append(replica.load(rate, SECONDS))
            with Idlers(
                replica.url, replica.client_key, idle=IDLE, heads=SLOW_HEADS, bodies=SLOW_BODIES
            ) as idlers:
                beside.append(replica.load(rate, SECONDS))
                most = max(most, procfs.memory_bytes(replica.pid))
                open_still = idlers.open()
            progress.say(
                f"round {done} of {rounds}: {_line(alone[-1])}; {_line(beside[-1])}; {open_still} open"
            )
    figures: Figures = {
        "idle, slow heads, slow bodies": f"{IDLE:,}, {SLOW_HEADS}, {SLOW_BODIES}",
        "requests beside them": sum(told.sent for told in beside),
        "failed": sum(told.sent - told.accepted for told in beside),
        "p99 alone, ms": statistics.median(told.later["2xx"].p99_ms for told in alone),
        "p99 beside them, ms": statistics.median(told.later["2xx"].p99_ms for told in beside),
        "memory before, MB": round(memory / 1e6),
        "memory beside them, MB": round(most / 1e6),
    }
    assert figures["failed"] == 0, figures
    assert not replica.failed_probes, (replica.failed_probes, figures)
    assert float(figures["p99 beside them, ms"]) <= 2 * float(figures["p99 alone, ms"]), figures
    return figures


DRILLS: Final = (
    Drill("overload", promise="10", minutes=1.5, rounds=4, run=shed),
    Drill("slow-callers", promise="10", minutes=1.2, rounds=3, run=slow_callers),
)
