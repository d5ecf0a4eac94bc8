"""The state machine with a small budget: the short form of the drill ``machine``.

Each defect that it finds gets a test of itself, in the folder of what was wrong.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase

from tests.faults import machine
from tests.faults.world import World

EXAMPLES = 8


@pytest.mark.timeout(900)
def test_two_replicas_and_the_model_agree_whatever_callers_operators_and_failures_do() -> None:
    # Without making it shorter, a failure shows within seconds. The drill does that.
    with World() as world:
        machine.run(world, machine.options(EXAMPLES, Phase.generate), restarts=1)
    assert set(machine.WHAT) - set(world.tally) == set(), "the budget is too small for every rule"
