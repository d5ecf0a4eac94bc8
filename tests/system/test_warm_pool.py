"""The short form of ``make test-faults DRILLS="pool pool-wire"``: replicas and connections break in takes."""

from __future__ import annotations

import pytest

from tests.faults.drill import Progress
from tests.faults.pools import FEWEST_KILLS, takes
from tests.faults.pools_wire import wire

ROUNDS = 600
ROUNDS_AT_THE_STORE = 3000


@pytest.mark.timeout(600)
async def test_no_key_is_handed_out_twice_while_replicas_are_killed() -> None:
    figures = await takes(Progress("pool"), ROUNDS)

    assert figures["keys handed out twice"] == 0, figures
    assert int(figures["keys handed out by the pool over HTTP"]) >= ROUNDS, figures
    assert int(figures["kills"]) >= FEWEST_KILLS, figures
    assert int(figures["calls at the provider"]) > 0, figures


@pytest.mark.timeout(600)
async def test_no_key_is_taken_twice_though_commands_are_cut_and_repeated() -> None:
    figures = await wire(Progress("pool-wire"), ROUNDS_AT_THE_STORE)

    assert figures["taken twice"] == 0, figures
    assert int(figures["keys taken"]) >= ROUNDS_AT_THE_STORE, figures
    assert int(figures["faults: repeat"]) > 0, figures
