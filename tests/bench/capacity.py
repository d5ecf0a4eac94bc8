"""``python -m tests.bench.capacity``: what so many concurrent users need, by measurement and simulation.

    --users 1000,100000,10000000    in calls at once
    --call-minutes 5 ...            other assumptions; see --help

Prints the table of docs/capacity.md; ``make bench-report`` writes it into the page.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from tests.bench.population import Demand, Habits, simulate, waits
from tests.bench.tools import run_to_end

USERS: Final = (1_000, 100_000, 10_000_000)
SEED: Final = 20_261_121
# Of one processor in the busiest minute: of a replica's, and of a Redis primary's.
REPLICA_SHARE: Final = 0.6
STORE_SHARE: Final = 0.5
PRIMARY_BYTES: Final = 16e9
# One may end, or be replaced, at any moment.
FEWEST_REPLICAS: Final = 2
_QUEUE_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured: CPU seconds of a mint and a relay, bytes of a record, bytes moved by a request."""

    mint_cpu: float
    relay_cpu: float
    store_mint_cpu: float
    store_relay_cpu: float
    handle_bytes: float
    call_bytes: float
    answer_bytes: float
    read: tuple[float, float]
    written: tuple[float, float]
    store_bytes: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the users need."""

    users: int
    demand: Demand
    replicas: int
    replica_share: float
    wait_p99: float
    primaries: int
    store_cpu: float
    store_bytes: float
    network_in: float
    network_out: float
    store_network: float


def costs(bench: Mapping[str, Any], grown: Mapping[str, Any]) -> tuple[Costs, Costs]:
    """Of a single Redis server, and of a Cluster."""
    last = grown["sizes"][-1]
    runs = bench["servers"]["cloakroom"]["runs"]
    left = [size["footprint"]["left"] for size in grown["sizes"]]
    traffic, moved = last["footprint"]["traffic"], last["store_traffic"]
    kinds = ("mint, limited", "relay")
    single = Costs(
        mint_cpu=runs["mint, limited"]["32"]["cpu_us"] / 1e6,
        relay_cpu=runs["relay"]["32"]["cpu_us"] / 1e6,
        store_mint_cpu=_typical(grown, kinds[0]) / 1e6,
        store_relay_cpu=_typical(grown, kinds[1]) / 1e6,
        handle_bytes=last["bytes_per_handle"],
        # The median: where a hash table of the server's happens to double, one size shows too much.
        call_bytes=statistics.median(one["call"] for one in left),
        answer_bytes=statistics.median(one["answer"] for one in left),
        read=(traffic[kinds[0]]["read"], traffic[kinds[1]]["read"]),
        written=(traffic[kinds[0]]["written"], traffic[kinds[1]]["written"]),
        store_bytes=(
            moved[kinds[0]]["received"] + moved[kinds[0]]["sent"],
            moved[kinds[1]]["received"] + moved[kinds[1]]["sent"],
        ),
    )
    here, there = grown["cluster"]["single"], grown["cluster"]["cluster"]

    def times(kind: str, what: str) -> float:
        return float(there[kind][what] / here[kind][what])

    clustered = replace(
        single,
        mint_cpu=single.mint_cpu * times(kinds[0], "cpu_us"),
        relay_cpu=single.relay_cpu * times(kinds[1], "cpu_us"),
        store_mint_cpu=single.store_mint_cpu * times(kinds[0], "store_cpu_us"),
        store_relay_cpu=single.store_relay_cpu * times(kinds[1], "store_cpu_us"),
    )
    return single, clustered


def _typical(grown: Mapping[str, Any], kind: str) -> float:
    """Redis' CPU of a request: the median of all sizes, since one may see its hash table double."""
    each = [float(size["runs"]["cloakroom"][kind]["store_cpu_us"]) for size in grown["sizes"]]
    return statistics.median(each)


def plan(users: int, habits: Habits, single: Costs, clustered: Costs) -> Plan:
    """Size everything for the busiest minute; a Cluster where one server would not do."""
    demand = simulate(users, habits, seed=SEED)
    found = _sized(users, demand, single)
    return found if found.primaries == 1 else _sized(users, demand, clustered)


def _sized(users: int, demand: Demand, cost: Costs) -> Plan:
    mints, relays = demand.busiest_mints, demand.busiest_relays
    cpu = mints * cost.mint_cpu + relays * cost.relay_cpu
    replicas = max(FEWEST_REPLICAS, math.ceil(cpu / REPLICA_SHARE))
    store_cpu = mints * cost.store_mint_cpu + relays * cost.store_relay_cpu
    store_bytes = (
        demand.handles * cost.handle_bytes
        + demand.calls * cost.call_bytes
        + demand.answers * cost.answer_bytes
    )
    _, slowest = waits(
        (mints / replicas, relays / replicas),
        (cost.mint_cpu, cost.relay_cpu),
        seconds=_QUEUE_SECONDS,
        seed=SEED,
    )
    return Plan(
        users=users,
        demand=demand,
        replicas=replicas,
        replica_share=cpu / replicas,
        wait_p99=slowest,
        primaries=max(1, math.ceil(store_cpu / STORE_SHARE), math.ceil(store_bytes / PRIMARY_BYTES)),
        store_cpu=store_cpu,
        store_bytes=store_bytes,
        network_in=mints * cost.read[0] + relays * cost.read[1],
        network_out=mints * cost.written[0] + relays * cost.written[1],
        store_network=mints * cost.store_bytes[0] + relays * cost.store_bytes[1],
    )


def main() -> None:
    # They present what is planned here.
    from tests.bench.plan_tables import assumptions, measured, table
    from tests.bench.tools import read

    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description="What users need.")
    parser.add_argument("--users", default=",".join(map(str, USERS)))
    for one in fields(Habits):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    chosen = parser.parse_args()
    habits = Habits(**{one.name: getattr(chosen, one.name) for one in fields(Habits)})
    single, clustered = costs(read("bench"), read("growth"))
    plans = [plan(int(users), habits, single, clustered) for users in chosen.users.split(",")]
    sys.stdout.write(f"{assumptions(habits)}\n\n{measured(single, clustered)}\n\n{table(plans)}\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
