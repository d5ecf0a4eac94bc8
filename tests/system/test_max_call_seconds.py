"""Calls that may last only so long end, though a replica is killed: a drill's short form."""

from __future__ import annotations

from tests.faults.drill import Progress
from tests.faults.leash import due_within


async def test_calls_that_are_due_are_hung_up_once_each_though_a_replica_dies() -> None:
    figures = await due_within(Progress("leash"), 24, window=4.0)
    assert figures["hung up"] == 24
    assert figures["too early"] == 0
