"""How a pool stands, in words and figures, by what the store tells of it."""

from __future__ import annotations

from typing import Final

import pytest

from app.broker.pool.standing import standing
from app.broker.session_policy import PoolPolicy
from app.store.pools import PoolBill, PoolLevel, PoolState

POLICY: Final = PoolPolicy(20, 0.5)
USED: Final = PoolBill(minted=500, used=480, hour_minted=500)


def level(stock: int, minute: int, *, pending: int = 0, idle: float = 1.0) -> PoolLevel:
    return PoolLevel("s", stock, pending, minute, 5 * minute, takes=9, idle=idle, serves=600.0)


@pytest.mark.parametrize(
    ("state", "mood", "goal"),
    [
        (PoolState((), PoolBill()), "idle", 0),
        (PoolState((level(5, 0, idle=700.0),), USED), "idle", 0),
        (PoolState((level(6, 6),), USED), "ready", 6),
        (PoolState((level(5, 6, pending=1),), USED), "filling", 6),
        (PoolState((level(10, 60),), PoolBill(hour_minted=10)), "starting", 10),
        (PoolState((level(2, 60),), PoolBill(hour_minted=30, hour_wasted=13)), "turned_down", 2),
        (PoolState((level(0, 60),), PoolBill(hour_minted=30, hour_wasted=20)), "turned_down", 0),
        (PoolState((level(20, 900),), PoolBill(hour_minted=900, hour_wasted=100)), "ready", 20),
        (PoolState((level(12, 12), level(8, 12)), USED), "ready", 20),
    ],
)
def test_its_mood_and_its_goal(state: PoolState, mood: str, goal: int) -> None:
    found = standing("voice", POLICY, state)
    assert (found.mood, found.goal) == (mood, goal)


def test_the_figures_of_all_sessions_are_added_up() -> None:
    found = standing("voice", POLICY, PoolState((level(3, 4, pending=1), level(2, 5)), USED))
    assert (found.shapes, found.stock, found.pending, found.demand) == (2, 5, 1, 9)
    assert (found.model, found.policy, found.bill) == ("voice", POLICY, USED)


@pytest.mark.parametrize(("minted", "wasted", "share"), [(0, 0, 0.0), (0, 3, 0.0), (8, 2, 0.25), (2, 3, 1.0)])
def test_the_waste_is_the_share_of_the_last_hour(minted: int, wasted: int, share: float) -> None:
    bill = PoolBill(minted=9, wasted=9, hour_minted=minted, hour_wasted=wasted)
    assert standing("voice", POLICY, PoolState((), bill)).waste == share
