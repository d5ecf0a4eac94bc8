"""Metering over real replicas: a watcher is killed, the command line tells, and the example adds up costs."""

from __future__ import annotations

from tests.faults.drill import Progress
from tests.faults.metering import killed_watcher


async def test_a_killed_watcher_loses_no_record_and_what_it_missed_is_marked() -> None:
    figures = await killed_watcher(Progress("metering"), 20)
    assert figures["records"] == 20
