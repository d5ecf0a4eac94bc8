"""The short form of ``make test-faults DRILLS=pool``: replicas are killed while they take from the pool."""

from __future__ import annotations

import pytest

from tests.faults.drill import Progress
from tests.faults.pools import FEWEST_KILLS, takes

ROUNDS = 600


@pytest.mark.timeout(600)
async def test_no_key_is_handed_out_twice_while_replicas_are_killed() -> None:
    figures = await takes(Progress("pool"), ROUNDS)

    assert figures["keys handed out twice"] == 0, figures
    assert int(figures["keys handed out by the pool over HTTP"]) >= ROUNDS, figures
    assert int(figures["kills"]) >= FEWEST_KILLS, figures
    assert int(figures["handed out after the provider failed"]) > 0, figures
    assert int(figures["calls at the provider"]) > 0, figures
