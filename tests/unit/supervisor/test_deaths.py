"""A worker that dies now and then is replaced at once; one that dies again and again is given up."""

from __future__ import annotations

import signal

from app.supervisor.deaths import MOST_DEATHS, WITHIN_SECONDS, Deaths, how_it_ended


def test_the_first_death_costs_no_pause_and_each_further_one_a_longer_one() -> None:
    deaths = Deaths()
    pauses = [deaths.add(100.0 + number) for number in range(MOST_DEATHS)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, None]
    assert deaths.number == MOST_DEATHS


def test_deaths_far_apart_are_each_the_first_one() -> None:
    deaths = Deaths()
    pauses = [deaths.add(number * (WITHIN_SECONDS + 1)) for number in range(3 * MOST_DEATHS)]
    assert set(pauses) == {0.0}
    assert deaths.number == 3 * MOST_DEATHS


def test_only_the_deaths_of_the_last_minute_count() -> None:
    deaths = Deaths()
    for moment in (0.0, 1.0, 2.0, 3.0):
        deaths.add(moment)
    assert deaths.add(WITHIN_SECONDS + 2.5) == 0.5


def test_an_end_is_told_in_words() -> None:
    assert how_it_ended(3) == "ended with status 3"
    assert how_it_ended(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert "memory" in how_it_ended(-signal.SIGKILL)
    assert how_it_ended(-63) == "was killed by 63"
