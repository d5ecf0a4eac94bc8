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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.open_loop import Told
from tests.bench.pool_sides import MINT_SECONDS, Side
from tests.bench.tools import RESULTS, Progress, run_to_end

POOL: Final = {"target": 500, "max_waste": 0.5}
BURST_TIMES: Final = 10
BURST_SECONDS: Final = 10.0
AFTER_IDLE_SECONDS: Final = 20.0
SITUATIONS: Final = ("steady", "burst", "idle", "failing")


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
            before = {name: (side.bill()["used"], side.reads()) for name, side in self._sides.items()}
            running = {
                name: stack.enter_context(side.start(rate, seconds)) for name, side in self._sides.items()
            }
            found = {name: _told(one.result()) for name, one in running.items()}
        for name, side in self._sides.items():
            found[name]["reads"] = side.reads() - before[name][1]
            found[name]["from_pool"] = side.bill()["used"] - before[name][0]
        return found

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


def round_trips(pooled: Side, steady: Mapping[str, Any]) -> dict[str, float]:
    """To the store for each mint.

    The pool is filled beside the mints. What that takes is the difference between both sides in the steady
    load: what a replica asks of the store without any mint is the same at both.
    """
    with Side("quick", None, mint_seconds=0) as quick:
        without = quick.round_trips()
    pooled.box.fail("stall")
    try:
        alone = pooled.round_trips()
    finally:
        pooled.box.recover()
    more = (steady["with"]["reads"] - steady["without"]["reads"]) / steady["with"]["mints"]
    return {"without": without, "with": alone, "with refills": round(without + more, 2)}


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
        trips = round_trips(pooled, situations["steady"])
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
