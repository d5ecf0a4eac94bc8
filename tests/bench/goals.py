"""The goals, and which of them a run has met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

FLOOR_TIMES: Final = 1.25
RIVAL_TIMES: Final = 25
ADDED_MS: Final = 0.5
MEMORY_MB: Final = 80
# A tenth more after the last round than after the first would be a leak's beginning.
FLAT_TIMES: Final = 1.05
HANDLE_BYTES: Final = 700
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, what was measured, and whether that meets it."""

    text: str
    measured: str
    met: bool


def goals(bench: Mapping[str, Any], grown: Mapping[str, Any]) -> list[Goal]:
    """All goals, in the order of the page."""
    return [*_cpu(bench), *_latency(bench), *_failures(bench), *_memory(bench), *_store(grown)]


def _run(bench: Mapping[str, Any], name: str, kind: str, connections: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = bench["servers"][name]["runs"][kind][str(connections)]
    return found


def _cpu(bench: Mapping[str, Any]) -> Iterator[Goal]:
    for kind in ("mint, limited", "mint", "relay"):
        ours, floor = (_run(bench, name, kind, 32)["cpu_us"] for name in ("cloakroom", "floor"))
        yield Goal(
            f"{kind}: at most {FLOOR_TIMES} times the floor's CPU",
            f"{ours / floor:.2f} times ({ours:.0f} us, {floor:.0f} us)",
            ours <= FLOOR_TIMES * floor,
        )
    for kind in ("mint", "relay"):
        ours, floor, theirs = (
            _run(bench, name, kind, 32)["cpu_us"] for name in ("cloakroom", "floor", "litellm")
        )
        yield Goal(
            f"{kind}: at least {RIVAL_TIMES} times less CPU than LiteLLM",
            f"{theirs / ours:.1f} times less ({theirs:,.0f} us); the floor: {theirs / floor:.1f} times less",
            theirs >= RIVAL_TIMES * ours,
        )


def _latency(bench: Mapping[str, Any]) -> Iterator[Goal]:
    for kind in ("mint", "relay"):
        ours, floor = (_run(bench, name, kind, 1)["p50_ms"] for name in ("cloakroom", "floor"))
        yield Goal(
            f"{kind}: less than {ADDED_MS} ms above the floor's p50 at one connection",
            f"{ours - floor:+.2f} ms ({ours:.2f} ms, {floor:.2f} ms)",
            ours - floor < ADDED_MS,
        )


def _failures(bench: Mapping[str, Any]) -> Iterator[Goal]:
    runs = [_run(bench, "cloakroom", kind, 256) for kind in ("mint, limited", "mint", "relay")]
    failed, sent = sum(run["failed"] for run in runs), sum(run["requests"] for run in runs)
    yield Goal("256 connections without a failed request", f"{failed} of {sent:,} failed", failed == 0)


def _memory(bench: Mapping[str, Any]) -> Iterator[Goal]:
    server = bench["servers"]["cloakroom"]
    after = server["memory_after_each_round"]
    most = max(after) / MEGABYTE
    yield Goal(
        f"at most {MEMORY_MB} MB of memory under load",
        f"{most:.0f} MB; idle {server['idle_memory'] / MEGABYTE:.0f} MB",
        most <= MEMORY_MB,
    )
    # The first round warms up; from then on nothing should be added.
    first, last = after[1] / MEGABYTE, after[-1] / MEGABYTE
    yield Goal(
        "memory is flat from round to round",
        f"{first:.1f} MB after round 1, {last:.1f} MB after round {len(after) - 1}",
        last <= FLAT_TIMES * first,
    )


def _store(grown: Mapping[str, Any]) -> Iterator[Goal]:
    last = grown["sizes"][-1]
    yield Goal(
        f"at most {HANDLE_BYTES} bytes of Redis for a handle with its index",
        f"{last['bytes_per_handle']:.0f} bytes at {last['handles']:,}",
        last["bytes_per_handle"] <= HANDLE_BYTES,
    )
    trips = [{kind: round(number) for kind, number in size["round_trips"].items()} for size in grown["sizes"]]
    told = ", ".join(f"{kind} {number}" for kind, number in trips[0].items())
    yield Goal(
        "the same number of Redis round trips at any size",
        told if all(each == trips[0] for each in trips) else "; ".join(map(str, trips)),
        all(each == trips[0] for each in trips),
    )
