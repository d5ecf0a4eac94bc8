"""``python -m tests.bench.pool``: a mint with the warm pool and without it; ``make bench-pool`` runs it.

    --usual 5        mints a second at the usual load
    --seconds 120    of the steady load; before it and between the others, half as long
    --idle 300       seconds without a mint
    --failing 60     seconds in which the provider fails
    --json FILE      where the figures go, instead of tests/bench/results/pool.json

Two replicas, one with a pool and one without, go through the same situations at the same time. Each has its
own store and its own provider in a box, whose mints take 0.4 s. The load does not wait for answers.

``make bench-report`` makes the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from app.store.embedded.engine import LocalEngine
from tests.bench import machine, procfs, traffic
from tests.bench.contenders import Cloakroom, mint_once
from tests.bench.open_loop import OpenLoop, Told
from tests.bench.program import Program
from tests.bench.tools import RESULTS, Progress, run_to_end
from tests.support.planted import Planted

MODEL: Final = "gpt-realtime-2.1"
POOL: Final = {"target": 500, "max_waste": 0.5}
MINT_SECONDS: Final = 0.4
BURST_TIMES: Final = 10
BURST_SECONDS: Final = 10.0
AFTER_IDLE_SECONDS: Final = 20.0
# A mint has ten seconds for all its tries.
_PATIENCE: Final = 15.0
SITUATIONS: Final = ("steady", "burst", "idle", "failing")


class Box(Program):
    """The provider in a box, whose mints take as long as a real one's."""

    def __init__(self, *, key: str, cpus: set[int]) -> None:
        super().__init__(
            "box",
            [
                *(sys.executable, "-m", "app.sandbox", "--port", "0", "--peer", "static"),
                *("--mint-seconds", f"{MINT_SECONDS}"),
            ],
            {"CLOAKROOM_SANDBOX_OPENAI_KEY": key},
            cpus=cpus,
        )
        try:
            self.url: str = self.wait_for_event("sandbox_ready")["url"]
        except BaseException:
            self.stop()
            raise

    def fail(self, kind: str, **fields: Any) -> None:
        """Let every mint fail like this until ``recover``."""
        self._control("POST", {"kind": kind, "path": "client_secrets", "times": 0, **fields})

    def recover(self) -> None:
        self._control("DELETE", None)

    def _control(self, method: str, body: Mapping[str, Any] | None) -> None:
        request = urllib.request.Request(
            f"{self.url}/_sandbox/faults",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass


class Side:
    """A replica with its own store and provider."""

    def __init__(self, name: str, pool: Mapping[str, Any] | None) -> None:
        self.name = name
        self._pool = pool
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        mine, others = procfs.split_cpus()
        policy = {"deployments": ["openai"], **({} if self._pool is None else {"pool": self._pool})}
        planted = Planted()
        with contextlib.ExitStack() as stack:
            self.engine = stack.enter_context(LocalEngine())
            procfs.pin(self.engine.pid, others)
            self.box = stack.enter_context(Box(key=planted.openai_key, cpus=others))
            self.replica = stack.enter_context(
                Cloakroom(
                    provider=f"{self.box.url}/v1",
                    redis=self.engine.url,
                    cpus=mine,
                    name=f"{self.name}-pool",
                    planted=planted,
                    more={"CLOAKROOM_MODELS": json.dumps({MODEL: policy})},
                )
            )
            self._load = self.replica.mint(limited=False)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, rate: float, seconds: float) -> OpenLoop:
        """Begin to mint at this rate."""
        cpus = procfs.split_cpus()[1]
        return OpenLoop(
            self.replica.url,
            [self._load],
            rate=rate,
            seconds=seconds,
            cpus=cpus,
            patience=_PATIENCE,
        )

    def first_ms(self) -> float:
        """How long one mint takes, in milliseconds."""
        begun = time.perf_counter()
        mint_once(self.replica.url, self.replica.planted.client_key)
        return round((time.perf_counter() - begun) * 1000, 2)

    def round_trips(self) -> traffic.Trips:
        """What a mint asks of the store."""
        return traffic.count(self.engine.url, self.replica.url, self._load)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything lasts, in seconds, and ``usual`` mints a second."""

    usual: float
    seconds: float
    idle: float
    failing: float


class Comparison:
    """Both sides, taken through the same situations at the same time."""

    def __init__(self, sides: Mapping[str, Side], plan: Plan, progress: Progress) -> None:
        self._sides = sides
        self._plan = plan
        self._progress = progress

    def run(self) -> dict[str, Any]:
        """Every situation, with what each side saw in it."""
        plan, found = self._plan, {}
        self._mint(plan.usual, plan.seconds / 2, "warming up")
        found["steady"] = self._mint(plan.usual, plan.seconds, "a steady load")
        found["burst"] = self._mint(plan.usual * BURST_TIMES, BURST_SECONDS, "a burst")
        self._mint(plan.usual, plan.seconds / 2, "the usual load again")
        found["failing"] = self._failing()
        self._mint(plan.usual, plan.seconds / 2, "the usual load again")
        found["idle"] = self._after_idle()
        return {name: found[name] for name in SITUATIONS}

    def _mint(self, rate: float, seconds: float, what: str) -> dict[str, Any]:
        """Mint at both sides at this rate."""
        self._progress.step(f"{what}: {rate:g} mints a second for {seconds:g} s")
        with contextlib.ExitStack() as stack:
            running = {
                name: stack.enter_context(side.start(rate, seconds)) for name, side in self._sides.items()
            }
            return {name: _told(one.result()) for name, one in running.items()}

    def _failing(self) -> dict[str, Any]:
        """Mint while the provider answers nothing but errors; it recovers when the load ends."""
        with contextlib.ExitStack() as stack:
            for side in self._sides.values():
                side.box.fail("status", status=500)
                stack.callback(side.box.recover)
            recovery = threading.Timer(self._plan.failing, stack.close)
            recovery.start()
            try:
                return self._mint(self._plan.usual, self._plan.failing, "the provider fails")
            finally:
                recovery.join()

    def _after_idle(self) -> dict[str, Any]:
        """Wait, then mint once, and then at the usual rate."""
        self._progress.step(f"nobody mints for {self._plan.idle:g} s")
        time.sleep(self._plan.idle)
        first = {name: side.first_ms() for name, side in self._sides.items()}
        found = self._mint(self._plan.usual, AFTER_IDLE_SECONDS, "after that")
        return {name: {**one, "first_ms": first[name]} for name, one in found.items()}


def _told(told: Told) -> dict[str, Any]:
    """Of one load: how many mints there were, how many succeeded, and how long those took."""
    accepted = told.by_status.get("2xx")
    return {
        "mints": told.sent + told.unsent,
        "succeeded": told.accepted,
        "p50_ms": None if accepted is None else accepted.p50_ms,
        "p99_ms": None if accepted is None else accepted.p99_ms,
        "max_ms": None if accepted is None else accepted.max_ms,
        "statuses": {status: one.count for status, one in told.by_status.items() if status != "2xx"},
        "lost": told.lost,
        "late_p99_ms": told.late_p99_ms,
    }


def round_trips(sides: Mapping[str, Side]) -> dict[str, float]:
    """To the store for each mint; with the pool also while the provider stalls, so that nothing fills it."""
    with_pool = sides["with"]
    found = {
        "without": sides["without"].round_trips().round_trips,
        "with refills": with_pool.round_trips().round_trips,
    }
    with_pool.box.fail("stall")
    try:
        found["with"] = with_pool.round_trips().round_trips
    finally:
        with_pool.box.recover()
    return found


def compare(plan: Plan) -> dict[str, Any]:
    """Everything that ``results/pool.json`` holds.

    Raises:
        BenchError: something is missing, did not start, or refused.
    """
    progress = Progress(9)
    with Side("with", POOL) as pooled, Side("without", None) as plain:
        sides = {"with": pooled, "without": plain}
        situations = Comparison(sides, plan, progress).run()
        bill = pooled.bill()
        progress.step("round trips to the store")
        trips = round_trips(sides)
    return {
        **machine.facts(),
        "plan": asdict(plan),
        "mint_seconds": MINT_SECONDS,
        "burst": {"times": BURST_TIMES, "seconds": BURST_SECONDS},
        "pool": POOL,
        "situations": situations,
        "bill": bill,
        "round_trips": trips,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.pool", description="A mint with the warm pool and without it."
    )
    parser.add_argument("--usual", type=float, default=5.0, help="mints a second (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the steady load")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a mint")
    parser.add_argument("--failing", type=float, default=60.0, help="seconds in which the provider fails")
    parser.add_argument("--json", type=Path, default=RESULTS / "pool.json", help="where the figures go")
    chosen = parser.parse_args()
    found = compare(Plan(chosen.usual, chosen.seconds, chosen.idle, chosen.failing))
    chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {chosen.json}; make bench-report makes the pages\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
