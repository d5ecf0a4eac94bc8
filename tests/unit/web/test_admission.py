"""Admission control with a clock and a loop of the test: what is overload, what is shed, when it ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

import pytest

from app.web.listener.admission import (
    ADMITTED_A_TURN,
    LITTLE,
    LONG_SECONDS,
    OVERLOAD_SECONDS,
    PAUSE_SECONDS,
    REVIEW_SECONDS,
    SHORT_TURN_SECONDS,
    TURNS,
    Admission,
)

LONG_ROWS = math.ceil(OVERLOAD_SECONDS / LONG_SECONDS)
LONG_TURN = LONG_SECONDS / TURNS * 1.01


class Turns:
    """A loop whose turns are as long as the test says."""

    def __init__(self, *, sheds: bool = True) -> None:
        self.now = 100.0
        # What the loop's own work used of it.
        self.used = 0.0
        self._ready: list[Callable[[], Any]] = []
        self._later: list[tuple[float, Callable[[], Any]]] = []
        self.admission = Admission(sheds=sheds, clock=lambda: self.now, cpu=lambda: self.used)

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self._ready.append(lambda: callback(*arguments))

    def call_later(self, delay: float, callback: Callable[..., Any], *arguments: Any) -> None:
        self._later.append((self.now + delay, lambda: callback(*arguments)))

    def turn(self, seconds: float, *, stolen: float = 0.0) -> None:
        """One turn of so much CPU, then runs what is ready; others had the CPU for ``stolen``."""
        self.now += seconds + stolen
        self.used += seconds
        due = [callback for at, callback in self._later if at <= self.now]
        self._later = [(at, callback) for at, callback in self._later if at > self.now]
        ready, self._ready = self._ready, []
        for callback in due + ready:
            callback()

    def admitted(self, requests: int = 1) -> int:
        """How many of these requests, which came at once, are admitted."""
        loop = cast(asyncio.AbstractEventLoop, self)
        return sum(self.admission.admits(loop) for _ in range(requests))

    def measure(self, seconds: float, requests: int = 1, *, stolen: float = 0.0) -> int:
        """Requests come, and a row of turns of this length follows and is measured."""
        admitted = self.admitted(requests)
        for _ in range(TURNS):
            self.turn(seconds, stolen=stolen)
        return admitted

    def rest(self) -> None:
        """Turns in which nothing comes, until none is measured any more."""
        for _ in range(2 * TURNS):
            self.turn(0.0)

    def overload(self) -> None:
        """Come to shed load."""
        for _ in range(LONG_ROWS):
            self.measure(LONG_TURN)
            self.turn(PAUSE_SECONDS)
        assert self.admission.shedding


@pytest.fixture
def loop() -> Turns:
    return Turns()


def test_short_turns_shed_nothing_whatever_their_number(loop: Turns) -> None:
    assert sum(loop.measure(LONG_TURN * 0.9, requests=10) for _ in range(500)) == 5000
    assert not loop.admission.shedding


def test_a_burst_of_a_few_long_turns_is_served(loop: Turns) -> None:
    for _ in range(50):
        for _ in range(LONG_ROWS - 1):
            assert loop.measure(LONG_TURN, requests=3) == 3
            loop.turn(PAUSE_SECONDS)
        assert loop.measure(SHORT_TURN_SECONDS / 2) == 1
    assert not loop.admission.shedding


def test_a_cpu_that_others_take_is_no_overload(loop: Turns) -> None:
    for _ in range(100):
        assert loop.measure(LONG_TURN / 4, stolen=LONG_TURN * 10) == 1
        loop.turn(PAUSE_SECONDS)
    assert not loop.admission.shedding


def test_one_long_turn_after_the_other_is_overload(loop: Turns) -> None:
    loop.overload()
    assert loop.admitted(100) == 0


def test_where_that_is_turned_off_everything_is_admitted() -> None:
    loop = Turns(sheds=False)
    for _ in range(100):
        assert loop.measure(LONG_TURN * 10, requests=50) == 50
    assert not loop.admission.shedding
    assert loop.admission.turn == 0


def test_while_shedding_requests_are_admitted_only_after_a_short_turn(loop: Turns) -> None:
    loop.overload()
    loop.measure(SHORT_TURN_SECONDS / 2)
    assert loop.admitted(5) == 5
    loop.measure(SHORT_TURN_SECONDS * 1.1)
    assert loop.admitted(5) == 0
    loop.measure(SHORT_TURN_SECONDS / 2)
    assert loop.admitted(5) == 5


def test_in_one_turn_only_a_few_are_admitted(loop: Turns) -> None:
    """What came together is read in one turn; all of it would be a burst again."""
    loop.overload()
    loop.rest()
    for _ in range(10):
        assert loop.admitted(100) == ADMITTED_A_TURN
        loop.turn(SHORT_TURN_SECONDS / 2)


def test_after_a_pause_nothing_waits(loop: Turns) -> None:
    loop.overload()
    assert loop.admitted() == 0
    loop.rest()
    assert loop.admitted() == 1


def test_while_a_turn_is_long_the_one_before_is_no_news(loop: Turns) -> None:
    loop.overload()
    loop.rest()
    assert loop.admitted() == 1
    loop.turn(SHORT_TURN_SECONDS * 200)
    assert loop.admitted(100) == 0


def test_shedding_goes_on_while_more_than_a_little_is_refused(loop: Turns) -> None:
    loop.overload()
    for _ in range(5):
        for _ in range(20):
            loop.measure(SHORT_TURN_SECONDS / 2, requests=4)
        loop.measure(SHORT_TURN_SECONDS * 2)
        assert loop.admitted(int(100 * LITTLE) + 10) == 0
        loop.turn(REVIEW_SECONDS)
        assert loop.admission.shedding


def test_shedding_ends_after_a_second_in_which_little_was_refused(loop: Turns) -> None:
    loop.overload()
    loop.admitted(100)
    loop.turn(REVIEW_SECONDS)
    assert loop.admission.shedding
    loop.rest()
    for _ in range(20):
        assert loop.measure(SHORT_TURN_SECONDS / 2, requests=4) == 4
    loop.turn(REVIEW_SECONDS)
    assert not loop.admission.shedding
    assert loop.admitted(100) == 100


def test_shedding_ends_when_nobody_asks_any_more(loop: Turns) -> None:
    loop.overload()
    loop.turn(REVIEW_SECONDS)
    assert not loop.admission.shedding


def test_the_turn_is_told_while_it_is_news(loop: Turns) -> None:
    loop.measure(0.003)
    assert loop.admission.turn == pytest.approx(0.003)
    loop.now += REVIEW_SECONDS
    assert loop.admission.turn == 0


def test_measuring_pauses_while_all_is_well(loop: Turns) -> None:
    loop.measure(0.0)
    assert loop.admitted(50) == 50
    assert loop._ready == []
    loop.now += PAUSE_SECONDS
    assert loop.admitted(50) == 50
    assert len(loop._ready) == 1
