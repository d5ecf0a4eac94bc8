"""Two replicas beside one, and a Redis Cluster beside a single server.

Both replicas share the one CPU for servers under test, so that what is compared is CPU a request: what a
second replica, or a second node, adds to it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.bench import procfs, wrk
from tests.bench.contenders import Cloakroom
from tests.bench.cpu import HANDLES, KINDS
from tests.bench.wrk import Load
from tests.support.cluster import real_cluster
from tests.support.planted import Planted

_CONNECTIONS: Final = 32


def _loads(replicas: Sequence[Cloakroom]) -> dict[str, list[Load]]:
    """For each replica; it relays with the handles that the next one minted."""
    after = [*replicas[1:], replicas[0]]
    return {
        "mint, limited": [one.mint(limited=True) for one in replicas],
        "mint": [one.mint(limited=False) for one in replicas],
        "relay": [other.relay(HANDLES) for other in after],
    }


def _together(
    replicas: Sequence[Cloakroom], work: Sequence[Load], stores: Sequence[int], cpus: set[int]
) -> dict[str, float]:
    """Load all replicas at once, each with as many connections: one turn of a loop has as much to do."""

    def spent(pids: Sequence[int]) -> float:
        return sum(procfs.cpu_seconds(pid) for pid in pids)

    pids = [one.pid for one in replicas]
    servers, store = spent(pids), spent(stores)
    with ThreadPoolExecutor(len(replicas)) as pool:
        running = [
            pool.submit(wrk.run, one.url, load, connections=_CONNECTIONS, seconds=1, cpus=cpus)
            for one, load in zip(replicas, work, strict=True)
        ]
        outcomes = [one.result() for one in running]
    requests = sum(outcome.requests for outcome in outcomes)
    for one in replicas:
        one.forget_output()
    return {
        "cpu_us": (spent(pids) - servers) / requests * 1e6,
        "store_cpu_us": (spent(stores) - store) / requests * 1e6,
        "failed": sum(outcome.failed for outcome in outcomes),
    }


def _compare(
    sets: dict[str, tuple[Sequence[Cloakroom], Sequence[int]]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Each set of replicas with its stores, in turn; medians, failures added up."""
    others = procfs.split_cpus()[1]
    work = {name: _loads(replicas) for name, (replicas, _) in sets.items()}
    taken: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(rounds + 1):
        for kind in KINDS:
            for name, (replicas, stores) in sets.items():
                one = _together(replicas, work[name][kind], stores, others)
                if number:
                    taken.setdefault((name, kind), []).append(one)
    found: dict[str, dict[str, Any]] = {}
    for (name, kind), each in taken.items():
        found.setdefault(name, {})[kind] = {
            "cpu_us": statistics.median(one["cpu_us"] for one in each),
            "store_cpu_us": statistics.median(one["store_cpu_us"] for one in each),
            "failed": sum(one["failed"] for one in each),
        }
    return found


def with_two_replicas(where: dict[str, Any], rounds: int, *, store: int) -> dict[str, Any]:
    """One replica, then two that relay with each other's handles, over the same store.

    Args:
        where: provider, redis and cpus, as ``Cloakroom`` takes them.
        store: the store's process.
    """
    planted = Planted()
    with (
        Cloakroom(**where, planted=planted, name="a") as a,
        Cloakroom(**where, planted=planted, name="b") as b,
    ):
        return _compare({"one": ((a,), (store,)), "two": ((a, b), (store,))}, rounds)


def on_a_cluster(where: dict[str, Any], rounds: int, *, store: int) -> dict[str, Any]:
    """One replica on the single server, and one on a Cluster of three."""
    others = procfs.split_cpus()[1]
    with real_cluster() as cluster:
        for node in cluster.primaries:
            procfs.pin(node.pid, others)
        with (
            Cloakroom(**where, name="single") as single,
            Cloakroom(**{**where, "redis": cluster.url}, name="cluster") as clustered,
        ):
            pids = [node.pid for node in cluster.primaries]
            return _compare({"single": ((single,), (store,)), "cluster": ((clustered,), pids)}, rounds)
