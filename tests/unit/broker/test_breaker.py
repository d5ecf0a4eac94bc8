"""The breaker by itself: what opens it, for how long, who may try, and what closes it again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.broker.routing.breaker import (
    ANSWERED,
    COOLING_SECONDS,
    FAILURES_IN_A_ROW,
    FAILURES_IN_WINDOW,
    FIRST_OPEN_SECONDS,
    LONGEST_OPEN_SECONDS,
    LONGEST_WAIT_SECONDS,
    SHOWS_NOTHING,
    WINDOW_SECONDS,
    Breakers,
    Verdict,
)

FAILED = Verdict("failed", elsewhere=True, reason="It hung up.")
REFUSED = Verdict("answered")
SOON = FIRST_OPEN_SECONDS / 2


class Bench:
    """Breakers with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.breakers = Breakers(lambda: self.now)

    def asks(self, verdict: Verdict, name: str = "a") -> bool:
        """One whole request; returns whether it was let through."""
        era = self.breakers.enter(name)
        if era is not None:
            self.breakers.leave(name, era, verdict)
        return era is not None

    def fails(self, times: int = FAILURES_IN_A_ROW) -> None:
        for _ in range(times):
            assert self.asks(FAILED)

    @property
    def closed(self) -> set[str]:
        return set(self.breakers.closed())

    def order(self, *names: str) -> Sequence[str]:
        return self.breakers.in_order(names, str)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_failures_in_a_row_open_it_and_one_fewer_does_not(bench: Bench) -> None:
    bench.fails(FAILURES_IN_A_ROW - 1)
    assert bench.closed == set()
    bench.fails(1)
    assert bench.closed == {"a"}
    assert not bench.asks(ANSWERED)
    assert bench.asks(ANSWERED, "b"), "another deployment has a breaker for itself"


def test_failures_in_a_row_count_however_far_apart_they_are(bench: Bench) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        assert bench.closed == set()
        bench.fails(1)
        bench.now += 10 * SOON
    bench.now -= 10 * SOON
    assert bench.closed == {"a"}


@pytest.mark.parametrize("between", [ANSWERED, REFUSED, Verdict("answered", wait=None, elsewhere=True)])
def test_an_answer_between_failures_begins_the_row_anew(bench: Bench, between: Verdict) -> None:
    bench.fails(FAILURES_IN_A_ROW - 1)
    assert bench.asks(between)
    bench.fails(FAILURES_IN_A_ROW - 1)
    assert bench.closed == set()


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_a_share_of_failures_within_the_window_opens_it(bench: Bench, answers: int) -> None:
    for _ in range(FAILURES_IN_WINDOW):
        assert bench.closed == set()
        bench.fails(1)
        for _ in range(answers):
            bench.asks(ANSWERED)
        if answers == 0:
            # Not in a row, which would open it sooner.
            bench.breakers.leave("a", 0, ANSWERED)
    assert bench.closed == ({"a"} if answers < 2 else set())


def test_old_failures_do_not_count_towards_the_share(bench: Bench) -> None:
    for _ in range(3 * FAILURES_IN_WINDOW):
        bench.fails(1)
        assert bench.asks(ANSWERED)
        bench.now += WINDOW_SECONDS * 2 / FAILURES_IN_WINDOW
        assert bench.closed == set()


def test_refusals_and_requests_that_show_nothing_never_open_it(bench: Bench) -> None:
    for verdict in (REFUSED, SHOWS_NOTHING):
        for _ in range(5 * FAILURES_IN_WINDOW):
            assert bench.asks(verdict)
            assert bench.asks(verdict._replace(elsewhere=True))
    assert bench.closed == set()


def test_half_open_it_lets_one_at_a_time_through_and_a_success_closes_it(bench: Bench) -> None:
    bench.fails()
    bench.now += FIRST_OPEN_SECONDS
    assert bench.closed == set(), "it may be tried"
    era = bench.breakers.enter("a")
    assert era is not None
    assert bench.breakers.enter("a") is None
    assert bench.closed == {"a"}
    bench.breakers.leave("a", era, ANSWERED)
    eras = [bench.breakers.enter("a") for _ in range(3)]
    assert None not in eras


@pytest.mark.parametrize("outcome", [SHOWS_NOTHING, Verdict(None, elsewhere=True)])
def test_a_try_that_shows_nothing_leaves_it_to_the_next_one(bench: Bench, outcome: Verdict) -> None:
    """A caller that hangs up, or is cancelled, must not keep the breaker half-open for ever."""
    bench.fails()
    bench.now += FIRST_OPEN_SECONDS
    for _ in range(3):
        assert bench.asks(outcome)
    era = bench.breakers.enter("a")
    assert era is not None
    assert bench.breakers.enter("a") is None, "still one at a time"


def test_each_failed_try_doubles_the_time_up_to_a_bound_for_as_long_as_the_outage_lasts(bench: Bench) -> None:
    bench.fails()
    times = []
    for _ in range(2000):
        left = bench.breakers.retry_after(["a"])
        times.append(left)
        bench.now += left - 0.01
        assert not bench.asks(FAILED)
        bench.now += 0.01
        assert bench.asks(FAILED)
    assert times[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert set(times[5:]) == {LONGEST_OPEN_SECONDS}
    bench.now += LONGEST_OPEN_SECONDS
    assert bench.asks(ANSWERED)
    bench.fails()
    assert bench.breakers.retry_after(["a"]) == FIRST_OPEN_SECONDS, "the next outage begins anew"


def test_what_began_before_it_opened_changes_nothing(bench: Bench) -> None:
    early = [bench.breakers.enter("a") for _ in range(3)]
    bench.fails()
    for era, verdict in zip(early, (ANSWERED, FAILED, SHOWS_NOTHING), strict=True):
        assert era is not None
        bench.breakers.leave("a", era, verdict)
    assert bench.closed == {"a"}
    bench.now += FIRST_OPEN_SECONDS
    trying = bench.breakers.enter("a")
    assert trying is not None
    bench.breakers.leave("a", early[0] or 0, ANSWERED)
    assert bench.breakers.enter("a") is None, "the try is still under way"
    bench.breakers.leave("a", trying, FAILED)
    assert bench.breakers.retry_after(["a"]) == 2 * FIRST_OPEN_SECONDS


@pytest.mark.parametrize("health", ["answered", "failed"])
def test_retry_after_closes_it_for_that_time_to_all(bench: Bench, health: str) -> None:
    bench.asks(Verdict(health, wait=17))  # type: ignore[arg-type]  # a literal through parametrize
    assert (bench.closed, bench.breakers.retry_after(["a"])) == ({"a"}, 17)
    bench.now += 16.9
    assert not bench.asks(ANSWERED)
    bench.now += 0.1
    eras = [bench.breakers.enter("a") for _ in range(3)]
    assert None not in eras, "a limit that has passed needs no single try"


def test_a_longer_retry_after_is_not_shortened_and_an_endless_one_is_bounded(bench: Bench) -> None:
    early = bench.breakers.enter("a")
    bench.asks(Verdict("answered", wait=50))
    assert early is not None
    bench.breakers.leave("a", early, Verdict("answered", wait=2))
    assert bench.breakers.retry_after(["a"]) == 50
    bench.now += 50
    bench.asks(Verdict("answered", wait=99_999))
    assert bench.breakers.retry_after(["a"]) == LONGEST_WAIT_SECONDS


def test_retry_after_of_several_is_that_of_the_first_to_reopen(bench: Bench) -> None:
    bench.asks(Verdict("answered", wait=9.2), "a")
    bench.asks(Verdict("answered", wait=40), "b")
    assert bench.breakers.retry_after(["a", "b"]) == 10
    assert bench.breakers.retry_after(["b"]) == 40
    bench.now += 9.2
    bench.fails()
    bench.now += FIRST_OPEN_SECONDS
    assert bench.breakers.enter("a") is not None
    assert bench.breakers.retry_after(["a", "b"]) == 1, "nobody knows when the try ends"


def test_one_that_sleeps_until_it_reopens_is_not_too_early_by_the_loops_rounding(bench: Bench) -> None:
    bench.asks(Verdict("answered", wait=1))
    bench.now += 0.999
    assert bench.asks(ANSWERED)


def test_alternatives_come_first_for_a_while_after_a_failure(bench: Bench) -> None:
    assert bench.order("a", "b", "c") == ("a", "b", "c")
    bench.fails(1)
    assert bench.order("a", "b", "c") == ["b", "c", "a"]
    assert set(bench.breakers.cooling()) == {"a"}
    bench.now += COOLING_SECONDS
    assert list(bench.order("a", "b", "c")) == ["a", "b", "c"]
    assert set(bench.breakers.cooling()) == set()


def test_one_that_is_closed_off_is_in_no_order(bench: Bench) -> None:
    bench.fails()
    assert bench.order("a", "b") == ["b"]
    assert bench.order("a") == []
    bench.now += FIRST_OPEN_SECONDS
    assert bench.order("a", "b") == ["b", "a"]


def test_nothing_is_kept_of_a_deployment_that_recovered(bench: Bench) -> None:
    bench.fails()
    bench.now += FIRST_OPEN_SECONDS
    assert bench.asks(ANSWERED)
    bench.now += WINDOW_SECONDS
    assert bench.asks(ANSWERED)
    assert bench.breakers._troubled == {}


def test_opening_and_closing_are_logged_once_each(bench: Bench) -> None:
    with capture_logs() as lines:
        bench.fails()
        bench.asks(FAILED)
        bench.now += FIRST_OPEN_SECONDS
        bench.asks(ANSWERED)
        for _ in range(3):
            bench.breakers.leave("b", 0, Verdict("answered", wait=3))
    opened, closed, waits = lines
    assert opened == {
        "event": "breaker_opened",
        "log_level": "warning",
        "deployment": "a",
        "seconds": FIRST_OPEN_SECONDS,
        "openings": 1,
        "failures_in_a_row": FAILURES_IN_A_ROW,
        "reason": "It hung up.",
    }
    assert (closed["event"], closed["deployment"]) == ("breaker_closed", "a")
    assert (waits["event"], waits["deployment"], waits["seconds"]) == ("provider_asked_to_wait", "b", 3)


_STEPS = st.lists(
    st.one_of(
        st.just("enter"),
        st.tuples(st.just("leave"), st.integers(0, 9), st.sampled_from(["answered", "failed", None])),
        st.tuples(st.just("wait"), st.integers(0, 9), st.integers(1, 500)),
        st.tuples(st.just("pass"), st.floats(0, 40)),
    ),
    max_size=80,
)


@given(_STEPS)
def test_whatever_happens_it_reopens_in_time_and_lets_one_try_at_a_time(steps: list[object]) -> None:
    bench, under_way = Bench(), list[int]()
    for step in steps:
        match step:
            case "enter":
                closed, era = "a" in bench.closed, bench.breakers.enter("a")
                assert (era is None) is closed
                if era is not None:
                    under_way.append(era)
            case ("leave", int(at), health) if under_way:
                verdict = Verdict(health, elsewhere=health == "failed")  # type: ignore[arg-type]  # as drawn
                bench.breakers.leave("a", under_way.pop(at % len(under_way)), verdict)
            case ("wait", int(at), int(seconds)) if under_way:
                verdict = Verdict("answered", wait=seconds)
                bench.breakers.leave("a", under_way.pop(at % len(under_way)), verdict)
            case ("pass", float(seconds)):
                bench.now += seconds
        assert 1 <= bench.breakers.retry_after(["a"]) <= LONGEST_WAIT_SECONDS
        trouble = bench.breakers._troubled.get("a")
        if trouble is not None and trouble.trying:
            assert bench.breakers.enter("a") is None
            assert under_way.count(trouble.era) == 1, "the one that tries can still end it"
    for era in under_way:
        bench.breakers.leave("a", era, SHOWS_NOTHING)
    bench.now += LONGEST_WAIT_SECONDS
    assert bench.breakers.enter("a") is not None, "it never stays closed off"


# --- calls of deployments that mints do not ask ------------------------------------------------------


def test_calls_that_fail_open_it_and_mints_that_ask_nothing_do_not_close_it(bench: Bench) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        assert bench.asks(SHOWS_NOTHING)
        bench.breakers.tell("a", FAILED)
    assert bench.closed == {"a"}
    assert not bench.asks(SHOWS_NOTHING)


def test_a_call_that_comes_too_late_changes_no_open_breaker(bench: Bench) -> None:
    for _ in range(3 * FAILURES_IN_A_ROW):
        bench.breakers.tell("a", FAILED)
    bench.breakers.tell("a", ANSWERED)
    assert bench.closed == {"a"}
    bench.now += 1.1 * FIRST_OPEN_SECONDS
    assert bench.closed == set()


@pytest.mark.parametrize(("shown", "closed"), [(ANSWERED, set()), (FAILED, {"a"})])
def test_half_open_the_next_call_decides_however_many_mints_came_before(
    bench: Bench, shown: Verdict, closed: set[str]
) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        bench.breakers.tell("a", FAILED)
    bench.now += 1.1 * FIRST_OPEN_SECONDS
    for _ in range(5):
        assert bench.asks(SHOWS_NOTHING)
    bench.breakers.tell("a", shown)
    assert bench.closed == closed
    bench.now += 1.1 * FIRST_OPEN_SECONDS
    assert bench.closed == closed, "twice as long after a try that failed"


def test_a_full_server_is_not_minted_for_until_it_may_have_room(bench: Bench) -> None:
    bench.breakers.tell("a", Verdict(None, elsewhere=True, wait=5))
    assert bench.closed == {"a"}
    assert bench.breakers.retry_after("a") == 5
    bench.now += 5.1
    assert bench.asks(SHOWS_NOTHING)


def test_an_answered_call_leaves_nothing_behind(bench: Bench) -> None:
    bench.breakers.tell("a", ANSWERED)
    bench.breakers.tell("a", SHOWS_NOTHING)
    assert not bench.breakers._troubled


def test_a_deployment_is_calm_unless_it_just_failed_asked_for_a_pause_or_is_closed(bench: Bench) -> None:
    assert bench.breakers.is_calm("a")
    bench.asks(Verdict("answered", elsewhere=True))
    assert not bench.breakers.is_calm("a"), "a 429 without Retry-After, say"
    assert bench.breakers.is_calm("b")
    bench.now += 1.1 * COOLING_SECONDS
    assert bench.breakers.is_calm("a")
    bench.asks(Verdict("answered", elsewhere=True, wait=2 * COOLING_SECONDS))
    bench.now += 1.1 * COOLING_SECONDS
    assert not bench.breakers.is_calm("a"), "Retry-After"
    bench.now += 2 * COOLING_SECONDS
    bench.fails()
    assert not bench.breakers.is_calm("a")
    bench.now += LONGEST_OPEN_SECONDS
    assert bench.breakers.is_calm("a"), "someone has to try"
    assert bench.breakers.enter("a") is not None
    assert not bench.breakers.is_calm("a"), "and one is enough"
