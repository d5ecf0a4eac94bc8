"""``python -m tests.bench.profile``: instructions a request, and the functions that they go into.

    --tree DIR        another checkout of Cloakroom instead of this one: an earlier commit, say
    --requests 300    counted of each kind under callgrind
    --seconds 10      of py-spy's sampling of each kind; 0 leaves it out
    --top 15          functions to print
    --json FILE       the figures; tests/bench/results/profile.json is where docs/performance.md has them from

Instruction counts repeat to about a hundredth, on a busy machine too, so they tell a change of one per cent
from noise. They are taken with one connection; the shares of time with 32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.store.embedded.engine import LocalEngine
from tests.bench import procfs, pyspy
from tests.bench.callgrind import counts
from tests.bench.contenders import Cloakroom, Contender, Floor
from tests.bench.cpu import level_trips, loads
from tests.bench.machine import commit
from tests.bench.nginx import Provider
from tests.bench.tools import run_to_end
from tests.bench.wrk import Load


def _few_handles(contender: Contender) -> dict[str, Load]:
    return loads(contender, handles=20)


def profile(tree: Path | None, *, requests: int, seconds: int) -> dict[str, Any]:
    """Counts of both servers and Cloakroom's shares of time."""
    mine, others = procfs.split_cpus()
    os.sched_setaffinity(0, others)
    with LocalEngine() as engine, Provider(cpus=others) as provider:
        procfs.pin(engine.pid, others)
        where: dict[str, Any] = {"provider": provider.url, "redis": engine.url, "cpus": mine}
        with Cloakroom(**where, tree=tree) as cloakroom, Floor(**where) as floor:
            level_trips(engine.url, floor, cloakroom)
            levelled = floor.trips
            shares = {
                kind: asdict(pyspy.record(cloakroom, load, seconds=seconds, cpus=others))
                for kind, load in loads(cloakroom).items()
                if seconds
            }

        def start_floor(prefix: tuple[str, ...]) -> Contender:
            started = Floor(**where, prefix=prefix)
            started.trips = levelled
            return started

        def start_cloakroom(prefix: tuple[str, ...]) -> Contender:
            # Fifty times slower under valgrind: a deadline of the store's must not end a request.
            patient = {"CLOAKROOM_STORE_TIMEOUT_SECONDS": "20"}
            return Cloakroom(**where, tree=tree, prefix=prefix, more=patient)

        counted = {
            "floor": counts(start_floor, _few_handles, requests=requests),
            "cloakroom": counts(start_cloakroom, _few_handles, requests=requests),
        }
    return {
        "commit": commit(),
        "requests": requests,
        "instructions": {
            name: {kind: asdict(one) for kind, one in kinds.items()} for name, kinds in counted.items()
        },
        "round_trips": levelled,
        "time": shares,
    }


def lines(found: dict[str, Any], top: int) -> list[str]:
    """The figures as text."""
    out = [f"{'instructions a request':24}{'floor':>12}{'cloakroom':>12}{'ratio':>8}"]
    counted = found["instructions"]
    for kind in counted["floor"]:
        floor, ours = (counted[name][kind]["instructions"] for name in ("floor", "cloakroom"))
        out.append(f"{kind:24}{floor:12,.0f}{ours:12,.0f}{ours / floor:8.2f}")
    for kind, told in counted["cloakroom"].items():
        out += ["", f"{kind}: C functions of Cloakroom by instructions of their own"]
        out += [f"{cost:12,.0f}  {name}" for name, cost in told["functions"][:top]]
    for kind, told in found["time"].items():
        for ranking in ("own", "cumulative"):
            out += ["", f"{kind}: Python functions of Cloakroom by {ranking} time, {told['samples']} samples"]
            out += [f"{share:12.1%}  {name}" for name, share in told[ranking][:top]]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.profile", description="Instructions a request, and where they go."
    )
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--top", type=int, default=15)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    tree = chosen.tree.resolve() if chosen.tree else None
    found = profile(tree, requests=chosen.requests, seconds=chosen.seconds)
    sys.stdout.write("\n".join(lines(found, chosen.top)) + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(_shortened(found, chosen.top * 2), indent=1) + "\n")


def _shortened(found: dict[str, Any], top: int) -> dict[str, Any]:
    """Without the long tail of functions."""
    for kinds in found["instructions"].values():
        for told in kinds.values():
            told["functions"] = told["functions"][:top]
    for told in found["time"].values():
        told["own"], told["cumulative"] = told["own"][:top], told["cumulative"][:top]
    return found


if __name__ == "__main__":
    sys.exit(run_to_end(main))
