"""Failovers of a real Sentinel and a real Cluster under load: the short form of two drills."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from tests.faults.drill import Progress
from tests.faults.failovers import fail_over
from tests.support.failover import ClusterStore, Failover, SentinelStore
from tests.support.planted import Planted


@pytest.mark.parametrize("kind", [SentinelStore, ClusterStore], ids=["sentinel", "cluster"])
async def test_where_replicas_are_waited_for_a_failover_loses_no_handle_and_gives_no_use_twice(
    kind: type[SentinelStore | ClusterStore],
) -> None:
    store: AbstractContextManager[Failover] = kind(Planted().store_password)
    with store as running:
        # A primary that is killed, one that is stopped and one that is replaced, all cut off before.
        figures = await fail_over(running, Progress("failovers"), 3)
    assert figures["waiting: lost"] == figures["waiting: used too often"] == 0
    assert figures["not waiting: handles acknowledged"]
