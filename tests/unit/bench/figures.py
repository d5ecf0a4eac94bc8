"""Small figures of the shape that a run writes."""

from __future__ import annotations

from typing import Any


def run(cpu_us: float, *, p50_ms: float = 1.0, failed: int = 0) -> dict[str, Any]:
    return {
        "rounds": 2,
        "requests": 1000,
        "failed": failed,
        "per_second": 2000.0,
        "cpu_us": cpu_us,
        "p50_ms": p50_ms,
        "p99_ms": p50_ms * 3,
        "max_ms": p50_ms * 9,
    }


def server(cpu_us: float, *, p50_ms: float = 1.0, failed: int = 0, limited: bool = True) -> dict[str, Any]:
    kinds = ("mint, limited", "mint", "relay") if limited else ("mint", "relay")
    one = run(cpu_us, p50_ms=p50_ms, failed=failed)
    return {
        "idle_memory": 60_000_000,
        "memory_after_each_round": [70_000_000, 71_000_000, 72_000_000],
        "round_trips": {"mint, limited": 2.0, "mint": 1.0, "relay": 2.0},
        "runs": {kind: {"1": one, "32": one, "256": one} for kind in kinds},
    }


def bench(
    *, ours: float = 240.0, floor: float = 200.0, theirs: float = 6000.0, **more: Any
) -> dict[str, Any]:
    return {
        "date": "2026-11-21",
        "commit": "0000000",
        "machine": {"cpus": 2, "processor": "x", "memory_gb": 4.0, "kernel": "6"},
        "versions": {"store": "redis-server 7.0.15", "wrk": "4.1"},
        "rounds": 2,
        "seconds": 1,
        "servers": {
            "floor": server(floor),
            "cloakroom": server(ours, **more),
            "litellm": server(theirs, limited=False),
        },
    }


def size(handles: int, *, bytes_per_handle: float = 650.0, relay_trips: float = 2.0) -> dict[str, Any]:
    kinds = {
        kind: {"cpu_us": 240.0, "store_cpu_us": 40.0, "failed": 0}
        for kind in ("mint, limited", "mint", "relay")
    }
    return {
        "handles": handles,
        "bytes_per_handle": bytes_per_handle,
        "round_trips": {"mint, limited": 2.0, "mint": 1.0, "relay": relay_trips},
        "runs": {"cloakroom": kinds, "floor": kinds},
        "operations": {
            "page_ms": 4.0,
            "page_of_a_client_ms": 4.0,
            "count_ms": 0.2,
            "revoke_one_ms": 0.1,
            "revoke_client_ms": 90.0,
            "revoked_of_client": 10_000.0,
            "revoke_longest_page_ms": 9.0,
            "longest_command_ms": 1.2,
            "admin_page_ms": 6.0,
            "command_list_ms": 300.0,
            "command_revoke_ms": 900.0,
            "command_revoked": 50_000.0,
        },
    }


def grown(**last: Any) -> dict[str, Any]:
    beside = {
        kind: {"alone": run(240.0), "beside": run(260.0)} for kind in ("mint, limited", "mint", "relay")
    }
    return {"sizes": [size(1, bytes_per_handle=3900.0), size(1_000_000, **last)], "beside": beside}


def crews() -> dict[str, Any]:
    def crew(per_second: float) -> dict[str, Any]:
        one = {
            **{"per_second": per_second, "cpu_us": 180.0, "p50_ms": 5.0, "p99_ms": 9.0, "failed": 0.0},
            **{"cpus": 1.2, "busiest": 0.6},
        }
        memory = {"resident": 150_000_000, "proportional": 90_000_000}
        runs = dict.fromkeys(("mint, limited", "mint", "relay"), one)
        return {"idle": memory, "warm": memory, "runs": runs}

    return {
        "date": "2026-11-27",
        "commit": "0000000",
        "machine": {"cpus": 2, "load": 0.4},
        "rounds": 3,
        "seconds": 3,
        "connections": 64,
        "workers": {"1": crew(4000.0), "2": crew(6000.0)},
    }


def pool() -> dict[str, Any]:
    def side(succeeded: int, p50_ms: float | None, *, served: int = 0) -> dict[str, Any]:
        longest = None if p50_ms is None else p50_ms * 3
        return {
            **{"mints": 600, "succeeded": succeeded, "lost": 0, "late_p99_ms": 0.2},
            **{"p50_ms": p50_ms, "p99_ms": longest, "max_ms": longest, "statuses": {}},
            **{"reads": 1800, "from_pool": served},
        }

    calm = {"with": side(600, 1.5, served=600), "without": side(600, 402.0)}
    return {
        "date": "2026-11-27",
        "commit": "0000000",
        "machine": {"cpus": 2, "load": 0.4},
        "plan": {"usual": 5.0, "seconds": 120.0, "idle": 300.0, "failing": 60.0},
        "mint_seconds": 0.4,
        "burst": {"times": 10, "seconds": 10.0},
        "pool": {"target": 500, "max_waste": 0.5},
        "situations": {
            "steady": calm,
            "burst": calm,
            "idle": {name: {**one, "first_ms": one["p50_ms"]} for name, one in calm.items()},
            "failing": {"with": side(590, 1.5, served=590), "without": side(0, None)},
        },
        "bill": {"minted": 2000, "used": 1700, "wasted": 100, "lost": 0, "stock": 200},
        "round_trips": {"without": 1.0, "with": 2.0, "with refills": 2.4},
    }
