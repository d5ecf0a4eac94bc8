"""The tables of docs/capacity.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from tests.bench.capacity import USERS, Costs, Plan, costs, plan
from tests.bench.population import Habits
from tests.bench.tables import markdown


def capacity_blocks(bench: Mapping[str, Any], grown: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """The page's tables by their names."""
    habits, (single, clustered) = Habits(), costs(bench, grown)
    return {
        "assumptions": lambda: assumptions(habits),
        "costs": lambda: measured(single, clustered),
        "capacity": lambda: table([plan(users, habits, single, clustered) for users in USERS]),
    }


def _micros(first: float, second: float) -> str:
    return f"{first * 1e6:.0f}, {second * 1e6:.0f} us"


def amount(value: float) -> str:
    """Three figures, as one says a number: 12.3 k, 4.56 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            return f"{_three(value / size)} {unit}"
    return _three(value)


def _three(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _gigabytes(value: float) -> str:
    return f"{_three(value / 1e9)} GB" if value >= 1e9 else f"{value / 1e6:,.0f} MB"


def _megabits(value: float) -> str:
    return f"{_three(value * 8 / 1e6)} Mbit/s"


def table(plans: Sequence[Plan]) -> str:
    """One column for each number of users."""
    rows: list[tuple[str, ...]] = [
        ("users in a call at the same time, mean", *(amount(one.demand.talking) for one in plans)),
        ("mints per second, mean", *(amount(one.demand.mints) for one in plans)),
        ("relays per second, mean", *(amount(one.demand.relays) for one in plans)),
        (
            "mints, relays per second in the busiest minute",
            *(f"{amount(one.demand.busiest_mints)}, {amount(one.demand.busiest_relays)}" for one in plans),
        ),
        ("**replicas** with one CPU each", *(f"**{one.replicas:,}**" for one in plans)),
        ("CPU use of a replica in the busiest minute", *(f"{one.replica_share:.0%}" for one in plans)),
        ("p99 of the wait for that CPU", *(f"{one.wait_p99 * 1e3:.1f} ms" for one in plans)),
        ("live handles", *(amount(one.demand.handles) for one in plans)),
        ("calls on record", *(amount(one.demand.calls) for one in plans)),
        ("**Redis memory**", *(f"**{_gigabytes(one.store_bytes)}**" for one in plans)),
        ("Redis CPU cores in the busiest minute", *(f"{one.store_cpu:.2f}" for one in plans)),
        ("**Redis primaries**", *(f"**{one.primaries:,}**" for one in plans)),
        (
            "network of all replicas: in, out",
            *(f"{_megabits(one.network_in)}, {_megabits(one.network_out)}" for one in plans),
        ),
        ("of which to and from Redis", *(_megabits(one.store_network) for one in plans)),
    ]
    return markdown(("concurrent users", *(f"{one.users:,}" for one in plans)), rows)


def assumptions(habits: Habits) -> str:
    """The habits as a table, with what each one stands for."""
    said = {
        "call_seconds": ("mean length of a call", f"{habits.call_seconds:.0f} s"),
        "call_spread": (
            "spread of that length (sigma of the log-normal distribution)",
            f"{habits.call_spread:g}",
        ),
        "longest_call": ("longest call that the provider allows", f"{habits.longest_call:.0f} s"),
        "offer_after": ("mean time from mint to offer", f"{habits.offer_after:g} s"),
        "unused": ("mints that get no offer and are repeated", f"{habits.unused:.0%}"),
        "reconnects": ("calls that reconnect because the network changed", f"{habits.reconnects:.0%}"),
        "rush": ("arrivals in the rush, times the usual rate", f"{habits.rush:g}"),
        "rush_seconds": ("length of the rush, once an hour", f"{habits.rush_seconds:.0f} s"),
        "handle_seconds": (
            "lifetime of a handle (`expires_after`, the provider's default)",
            f"{habits.handle_seconds:.0f} s",
        ),
        "replay_seconds": (
            "time that an answer is kept (`replay_window_seconds`)",
            f"{habits.replay_seconds:.0f} s",
        ),
        "retention_seconds": (
            "time that a call stays on record (`call_retention_seconds`)",
            f"{habits.retention_seconds:.0f} s",
        ),
    }
    return markdown(("assumption", "value"), (said[one.name] for one in fields(habits)))


def measured(single: Costs, clustered: Costs) -> str:
    """The costs that the plan is made with."""
    both = (single, clustered)

    def row(words: str, cell: Callable[[Costs], str]) -> tuple[str, ...]:
        return (words, *(cell(one) for one in both))

    rows = [
        row(
            "CPU of a replica per request: limited mint, relay",
            lambda one: _micros(one.mint_cpu, one.relay_cpu),
        ),
        row(
            "CPU of Redis per request: limited mint, relay",
            lambda one: _micros(one.store_mint_cpu, one.store_relay_cpu),
        ),
        row(
            "Redis memory: handle, call, answer",
            lambda one: f"{one.handle_bytes:.0f}, {one.call_bytes:.0f}, {one.answer_bytes:.0f} bytes",
        ),
        row(
            "network of a replica per mint: in, out",
            lambda one: f"{one.read[0]:,.0f}, {one.written[0]:,.0f} bytes",
        ),
        row(
            "network of a replica per relay: in, out",
            lambda one: f"{one.read[1]:,.0f}, {one.written[1]:,.0f} bytes",
        ),
    ]
    return markdown(("measured", "one Redis server", "Cluster"), rows)
