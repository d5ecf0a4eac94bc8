"""The simulated population, and the plan that is made for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.capacity import Costs, plan
from tests.bench.plan_tables import amount
from tests.bench.population import Habits, simulate, waits

# No rush and no chance but arrivals: then everything can be worked out by hand.
CALM = Habits(call_seconds=1200.0, rush=1.0, unused=0.0, reconnects=0.0, call_spread=0.2)
COSTS = Costs(
    mint_cpu=300e-6,
    relay_cpu=300e-6,
    store_mint_cpu=50e-6,
    store_relay_cpu=70e-6,
    handle_bytes=650,
    call_bytes=500,
    answer_bytes=4200,
    read=(1000, 6000),
    written=(2000, 10_000),
    store_bytes=(800, 5000),
)


def test_a_calm_population_agrees_with_littles_law() -> None:
    found = simulate(4000, CALM, seed=7)

    rate = 4000 / CALM.call_seconds
    assert found.talking == pytest.approx(4000, rel=0.03)
    assert found.mints == pytest.approx(rate, rel=0.03)
    assert found.relays == pytest.approx(rate, rel=0.03)
    assert found.handles == pytest.approx(rate * CALM.handle_seconds, rel=0.06)
    assert found.calls == pytest.approx(rate * CALM.retention_seconds, rel=0.03)


def test_every_habit_shows_in_what_is_asked() -> None:
    calm = simulate(4000, CALM, seed=7)

    assert simulate(4000, replace(CALM, unused=0.5), seed=7).mints == pytest.approx(2 * calm.mints, rel=0.06)
    assert simulate(4000, replace(CALM, reconnects=0.5), seed=7).relays == pytest.approx(
        1.5 * calm.relays, rel=0.06
    )
    assert simulate(4000, replace(CALM, rush=3.0), seed=7).busiest_mints > 2 * calm.busiest_mints


def test_a_sample_stands_for_the_whole() -> None:
    few, many = simulate(4000, CALM, seed=1), simulate(4_000_000, CALM, seed=1)

    assert many.mints == pytest.approx(1000 * few.mints)
    assert many.handles == pytest.approx(1000 * few.handles)


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    assert simulate(500, CALM, seed=3) == simulate(500, CALM, seed=3)
    assert simulate(500, CALM, seed=3) != simulate(500, CALM, seed=4)


def test_waits_grow_with_the_load_and_an_idle_replica_makes_nobody_wait() -> None:
    idle = waits((1.0, 1.0), (300e-6, 300e-6), seconds=20, seed=1)
    busy = waits((1000.0, 1000.0), (300e-6, 300e-6), seconds=5, seed=1)
    full = waits((1500.0, 1500.0), (300e-6, 300e-6), seconds=5, seed=1)

    assert idle[0] == 0
    assert idle[1] < busy[1] < full[1]
    assert busy[0] <= busy[1]


def test_few_users_still_get_two_replicas_and_many_as_many_as_their_cpu_needs() -> None:
    small, large = plan(100, CALM, COSTS, COSTS), plan(4_000_000, CALM, COSTS, COSTS)

    assert small.replicas == 2
    demand = large.demand
    cores = demand.busiest_mints * COSTS.mint_cpu + demand.busiest_relays * COSTS.relay_cpu
    assert large.replicas == pytest.approx(cores / 0.6, abs=1)
    assert large.replica_share <= 0.6


def test_memory_counts_handles_calls_and_answers() -> None:
    found = plan(100_000, CALM, COSTS, COSTS)
    demand = found.demand

    assert found.store_bytes == pytest.approx(
        demand.handles * 650 + demand.calls * 500 + demand.answers * 4200
    )


def test_beyond_one_server_the_costs_are_a_clusters() -> None:
    dearer = replace(COSTS, mint_cpu=600e-6, store_mint_cpu=100e-6)

    assert plan(100_000, CALM, COSTS, dearer) == plan(100_000, CALM, COSTS, COSTS)
    assert plan(20_000_000, CALM, COSTS, dearer).replicas > plan(20_000_000, CALM, COSTS, COSTS).replicas
    assert plan(20_000_000, CALM, COSTS, dearer).primaries > 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4.2, "4.20"), (12.34, "12.3"), (420, "420"), (3551, "3.55 k"), (348_000, "348 k"), (34.8e6, "34.8 M")],
)
def test_an_amount_is_told_in_three_figures(value: float, shown: str) -> None:
    assert amount(value) == shown
