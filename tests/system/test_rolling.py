"""Rolling restarts behind the real HAProxy fail no request. The long form: tests/faults/rolling.py."""

from __future__ import annotations

from tests.faults.drill import Progress
from tests.faults.rolling import roll


async def test_two_restarts_at_steady_load_fail_no_request() -> None:
    figures = await roll(Progress("rolling"), 2)
    assert figures["failed"] == 0
    assert int(figures["mints"]) > 0
    assert int(figures["relays"]) > 0
