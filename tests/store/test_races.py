"""One winner at the store, whatever happens on the wire: the short form of the drill ``races``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.store.scripts import CLAIM, Script
from tests.faults import races
from tests.faults.drill import Progress
from tests.support.fault_proxy import Fault

ROUNDS = 400


def broken(old: str, new: str) -> Script:
    """``claim.lua`` with a line changed."""
    assert CLAIM.text.count(old) == 1
    return replace(CLAIM, text=CLAIM.text.replace(old, new), sha1="0" * 40)


async def test_of_eight_claims_at_once_one_wins_though_replies_are_dropped_and_commands_repeated() -> None:
    figures = await races.races(Progress("races"), ROUNDS)
    assert int(figures["races with a winner"]) >= ROUNDS
    assert figures["double wins"] == figures["uses lost"] == 0
    assert int(figures["faults: repeat"]) > 0, "nothing was repeated"
    assert int(figures["offers sent"]) <= int(figures["races with a winner"])


async def test_two_winners_do_not_escape_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = broken("calls >= max_calls then", "calls >= max_calls + 1 then")
    monkeypatch.setattr("app.store.records.handles.CLAIM", lenient)
    with pytest.raises(AssertionError, match="double wins"):
        await races.races(Progress("races"), 20)


async def test_a_repeat_that_takes_a_second_use_does_not_escape_the_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each run of a claim counts, also the repeated one.
    forgetful = broken("if claim then", "if false then")
    monkeypatch.setattr("app.store.records.handles.CLAIM", forgetful)
    monkeypatch.setattr(races, "RATES", {Fault.REPEAT: 0.3})
    with pytest.raises(AssertionError, match="uses lost"):
        await races.races(Progress("races"), 200)
