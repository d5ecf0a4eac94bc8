"""How many keys a pool wants: the goal follows the demand, and the waste bounds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from app.broker.pool.demand import (
    FEW_AT_ONCE,
    LEAST_MINTED,
    MOST_AT_ONCE,
    REPEATED,
    at_once,
    bound_of,
    goal_of,
)
from app.broker.session_policy import PoolPolicy
from app.store.pools import PoolBill, PoolLevel

TARGET: Final = 200
POLICY: Final = PoolPolicy(target=TARGET, max_waste=0.5)
QUIET: Final = PoolLevel("k1.shape", 0, 0, 0, 0, takes=5, idle=1.0, serves=600.0)
COUNTS: Final = st.integers(0, 100_000)
SHARES: Final = st.floats(0, 0.95)


@st.composite
def levels(draw: st.DrawFn) -> PoolLevel:
    minute = draw(st.integers(0, 10_000))
    return PoolLevel(
        "k1.shape",
        draw(st.integers(0, 1000)),
        draw(st.integers(0, 100)),
        minute,
        minute + draw(st.integers(0, 40_000)),
        takes=draw(st.integers(0, 100)),
        idle=draw(st.floats(0, 10_000)),
        serves=draw(st.floats(0.001, 7200)),
    )


@given(levels(), st.integers(1, 1000))
def test_the_goal_is_never_above_the_target_and_is_one_at_least_exactly_while_a_key_would_serve(
    level: PoolLevel, target: int
) -> None:
    goal = goal_of(level, target=target)
    wanted = level.takes >= REPEATED and level.idle <= level.serves
    assert (1 <= goal <= target) if wanted else goal == 0


@given(levels(), st.integers(1, 1000))
def test_the_goal_is_no_more_than_the_demand_of_a_minute(level: PoolLevel, target: int) -> None:
    goal = goal_of(level, target=target)
    assert goal <= max(level.minute, level.five / 5, 1) + 1


@given(levels(), st.integers(0, 1000))
def test_more_demand_never_asks_for_fewer_keys(level: PoolLevel, more: int) -> None:
    busier = replace(level, minute=level.minute + more, five=level.five + more)
    assert goal_of(busier, target=TARGET) >= goal_of(level, target=TARGET)


def test_the_stock_lasts_a_minute_at_the_usual_demand() -> None:
    assert goal_of(replace(QUIET, minute=60, five=300), target=TARGET) == 60
    assert goal_of(replace(QUIET, minute=6, five=30), target=TARGET) == 6


def test_after_a_quiet_minute_the_last_five_count() -> None:
    assert goal_of(replace(QUIET, minute=0, five=100), target=TARGET) == 20


def test_a_burst_raises_the_goal_at_once() -> None:
    assert goal_of(replace(QUIET, minute=90, five=120), target=TARGET) == 90


def test_rare_demand_that_a_key_can_serve_keeps_one() -> None:
    assert goal_of(replace(QUIET, idle=599.0), target=TARGET) == 1
    assert goal_of(replace(QUIET, idle=601.0), target=TARGET) == 0


def test_what_was_wanted_once_is_not_kept() -> None:
    assert goal_of(replace(QUIET, minute=1, five=1, takes=1), target=TARGET) == 0
    assert goal_of(replace(QUIET, minute=2, five=2, takes=2), target=TARGET) == 2


def test_keys_that_serve_for_a_short_time_are_used_before_they_are_too_old() -> None:
    """Keys of a minute serve for half of it. At one take a second fifteen keys are fifteen seconds old."""
    assert goal_of(replace(QUIET, minute=60, five=300, serves=30.0), target=TARGET) == 15


@given(COUNTS, COUNTS, st.integers(1, 1000), SHARES)
def test_even_if_all_keys_became_too_old_no_more_than_the_share_would_be_wasted(
    minted: int, wasted: int, target: int, share: float
) -> None:
    policy = PoolPolicy(target, share)
    bound = bound_of(PoolBill(hour_minted=minted, hour_wasted=wasted), policy)
    assert 0 <= bound <= target
    # One may always be tried, until one was wasted.
    if bound > (0 if wasted else 1):
        assert wasted + bound <= max(minted, LEAST_MINTED) * share


@given(COUNTS, COUNTS, COUNTS)
def test_more_waste_never_allows_more_keys_and_more_use_never_fewer(
    minted: int, wasted: int, more: int
) -> None:
    def bound(minted: int, wasted: int) -> int:
        return bound_of(PoolBill(hour_minted=minted, hour_wasted=wasted), POLICY)

    assert bound(minted, wasted + more) <= bound(minted, wasted) <= bound(minted + more, wasted)


def test_a_pool_that_wasted_too_much_comes_back_once_the_hour_is_over() -> None:
    assert bound_of(PoolBill(minted=500, wasted=300, hour_minted=20, hour_wasted=10), POLICY) == 0
    assert bound_of(PoolBill(minted=500, wasted=300), POLICY) == LEAST_MINTED // 2


def test_without_any_waste_allowed_one_key_is_kept_until_one_is_wasted() -> None:
    strict = PoolPolicy(TARGET, 0.0)
    assert bound_of(PoolBill(), strict) == 1
    assert bound_of(PoolBill(hour_minted=100), strict) == 1
    assert bound_of(PoolBill(hour_minted=100, hour_wasted=1), strict) == 0


@given(levels(), st.integers(0, 1000), st.floats(0, 100))
def test_a_few_are_minted_at_once_and_never_many(level: PoolLevel, goal: int, mint_seconds: float) -> None:
    assert FEW_AT_ONCE <= at_once(level, goal, mint_seconds=mint_seconds) <= MOST_AT_ONCE


def test_as_many_are_minted_at_once_as_it_takes_to_keep_up() -> None:
    assert at_once(replace(QUIET, minute=900, stock=20), 20, mint_seconds=0.4) == 12


def test_what_a_burst_took_is_minted_again_within_seconds() -> None:
    """150 keys in five seconds are 30 a second: of 0.4 s each, twelve at once."""
    assert at_once(replace(QUIET, stock=40, pending=10), 200, mint_seconds=0.4) == 12
    assert at_once(replace(QUIET, stock=200), 200, mint_seconds=0.4) == FEW_AT_ONCE


# --- a pool over hours, minted for in no time ------------------------------------------------------


class _Pool:
    """What the store keeps of one shape, at times of the test."""

    def __init__(self, policy: PoolPolicy, *, serves: float) -> None:
        self.policy, self.serves = policy, serves
        self.stock: list[float] = []
        self.takes: list[float] = []
        self.minted: list[float] = []
        self.wasted: list[float] = []
        self.hits = self.repeated = 0

    def sweep(self, now: float) -> None:
        self.wasted += [until for until in self.stock if until <= now]
        self.stock = [until for until in self.stock if until > now]

    def take(self, now: float) -> None:
        self.sweep(now)
        rare = not self.takes or now - self.takes[-1] > self.serves
        self.repeated = 1 if rare else self.repeated + 1
        self.takes.append(now)
        if self.stock:
            self.stock.pop(0)
            self.hits += 1
        minute, five = (sum(now - when < seconds for when in self.takes) for seconds in (60, 300))
        level = PoolLevel("s", len(self.stock), 0, minute, five, self.repeated, 0.0, self.serves)
        minted, wasted = (sum(now - when < 3600 for when in those) for those in (self.minted, self.wasted))
        bill = PoolBill(hour_minted=minted, hour_wasted=wasted)
        goal = min(goal_of(level, target=self.policy.target), bound_of(bill, self.policy))
        for _ in range(goal - len(self.stock)):
            self.stock.append(now + self.serves)
            self.minted.append(now)


@given(
    st.lists(st.floats(0.05, 1500), min_size=1, max_size=150),
    st.sampled_from([30.0, 600.0, 3600.0]),
    st.sampled_from([0.0, 0.1, 0.5, 0.95]),
)
def test_whatever_the_demand_no_more_than_the_share_is_wasted_but_for_the_first_keys_of_an_hour(
    gaps: list[float], serves: float, share: float
) -> None:
    pool, now = _Pool(PoolPolicy(50, share), serves=serves), 0.0
    for gap in gaps:
        now += gap
        pool.take(now)
    pool.sweep(now + 7200)
    hours = int(now // 3600) + 2
    first = max(LEAST_MINTED * share, 1) * hours
    assert len(pool.wasted) <= share * len(pool.minted) + first


def test_a_steady_demand_is_served_from_stock_and_wastes_nothing() -> None:
    pool = _Pool(PoolPolicy(20, 0.5), serves=600.0)
    for second in range(3600):
        pool.take(float(second))
    assert pool.hits >= 3598
    assert pool.wasted == []


def test_ten_times_the_usual_demand_finds_keys_for_seconds_though_none_is_minted_meanwhile() -> None:
    pool = _Pool(PoolPolicy(100, 0.5), serves=600.0)
    for second in range(600):
        pool.take(float(second))
    assert len(pool.stock) == 60


def test_after_five_idle_minutes_the_keys_are_still_there() -> None:
    pool = _Pool(PoolPolicy(20, 0.5), serves=600.0)
    for second in range(600):
        pool.take(float(second))
    pool.sweep(599.0 + 300)
    assert len(pool.stock) == 20
    pool.sweep(599.0 + 700)
    assert pool.stock == []


def test_demand_that_comes_too_seldom_for_any_key_mints_none_ahead() -> None:
    pool = _Pool(PoolPolicy(20, 0.5), serves=600.0)
    for number in range(50):
        pool.take(number * 700.0)
    assert pool.minted == []
