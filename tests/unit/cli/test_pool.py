"""``cloakroom pool show``: the table at every width, and the words for each state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.cli import pool as command
from app.cli.failure import CliFailure
from app.cli.pool import show_pools


def one(**changes: Any) -> dict[str, Any]:
    """A pool that does well."""
    return {
        "object": "pool",
        "model": "gpt-realtime-2.1",
        "state": "ready",
        "target": 50,
        "max_waste": 0.5,
        "sessions": 1,
        "stock": 34,
        "pending": 0,
        "goal": 34,
        "demand": 34,
        "minted": 5125,
        "used": 5078,
        "wasted": 12,
        "lost": 1,
        "hour": {"minted": 2046, "wasted": 3, "waste": 0.0015},
        "replicas": 2,
        "paused": [],
        **changes,
    }


def told(reason: str, *replicas: str, seconds: float = 11.4) -> list[dict[str, Any]]:
    return [{"replica": name, "reason": reason, "seconds": seconds} for name in replicas]


class Answers:
    """An ``Operator`` that knows these pools."""

    def __init__(self, *pools: Any) -> None:
        self._pools = pools

    async def pools(self) -> dict[str, Any]:
        return {"object": "pools", "data": list(self._pools)}


Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """What the command prints of these pools; at a terminal of ``width``, or in a pipe."""

    def show(*pools: Any, width: int | None = None, **options: Any) -> str:
        async def ask(work: Any) -> Any:
            return await work(Answers(*pools))

        monkeypatch.setattr(command, "operate", lambda target, work: asyncio.run(ask(work)))
        monkeypatch.setattr(command, "terminal_width", lambda: width)
        show_pools(**options)
        captured = capsys.readouterr()
        return captured.out + captured.err

    return show


def test_the_table_has_the_whole_bill(shown: Shown) -> None:
    header, row = shown(one()).splitlines()
    assert header.split() == [
        *("MODEL", "STOCK", "TARGET", "DEMAND"),
        *("MINTED", "USED", "WASTED", "LOST", "WASTE", "STATE"),
    ]
    assert row.split() == [
        *("gpt-realtime-2.1", "34/34", "50", "34/min", "5,125", "5,078", "12", "1", "0", "%"),
        *("follows", "demand"),
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(shown: Shown, width: int) -> None:
    pools = (one(minted=1_234_567, used=1_200_000), one(state="paused", paused=told("failing", "a")))
    lines = shown(*pools, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert {"MODEL", "STOCK", "STATE"} <= set(lines[0].split())
    assert " ".join(" ".join(lines[4:]).split()).endswith("its mints fail, and are tried again in 12 s.")


def test_a_usual_terminal_has_room_for_the_bill(shown: Shown) -> None:
    header = shown(one(), width=80).splitlines()[0].split()
    assert header == ["MODEL", "STOCK", "DEMAND", "MINTED", "USED", "WASTED", "WASTE", "STATE"]


def test_a_pool_without_a_key_in_the_last_hour_has_no_share_of_waste(shown: Shown) -> None:
    row = shown(one(hour={"minted": 0, "wasted": 0, "waste": 0.0})).splitlines()[1]
    assert "%" not in row


@pytest.mark.parametrize(
    ("changes", "state", "note"),
    [
        ({}, "follows demand", None),
        ({"state": "idle", "demand": 0}, "idle", None),
        ({"state": "filling", "pending": 3}, "filling", None),
        (
            {"state": "turned_down", "goal": 3, "hour": {"minted": 50, "wasted": 31, "waste": 0.62}},
            "turned down",
            "gpt-realtime-2.1 is turned down: 62 % of the last hour's keys were thrown away, and max_waste "
            "is 50 %. It recovers as that hour passes.",
        ),
        (
            {"state": "turned_down", "goal": 18, "hour": {"minted": 40, "wasted": 2, "waste": 0.05}},
            "turned down",
            "gpt-realtime-2.1 is turned down: 5 % of the last hour's keys were thrown away. With more than "
            "18 in stock it could be more than 50 % (max_waste).",
        ),
        (
            {"state": "starting", "goal": 10, "hour": {"minted": 4, "wasted": 0, "waste": 0.0}},
            "starting",
            "gpt-realtime-2.1 is starting: it keeps 10 keys at most until it has minted more, so that no "
            "more than 50 % of them can be wasted (max_waste).",
        ),
        (
            {"state": "paused", "paused": [*told("limited", "a"), *told("limited", "b", seconds=90)]},
            "paused",
            "gpt-realtime-2.1 is paused: the provider says wait 12 s.",
        ),
        (
            {"state": "paused", "paused": told("failing", "a", "b", seconds=4.0)},
            "paused",
            "gpt-realtime-2.1 is paused: its mints fail, and are tried again in 4 s.",
        ),
        (
            {"paused": told("limited", "replica-b", "replica-a")},
            "follows demand",
            "gpt-realtime-2.1 is paused at replica-a, replica-b: the provider says wait 12 s.",
        ),
        (
            {"state": "idle", "demand": 40, "sessions": 40},
            "idle",
            "gpt-realtime-2.1 is idle: each mint wanted another session, and only equal sessions share keys.",
        ),
        # Its keys serve for less than a minute.
        ({"state": "idle", "demand": 40, "sessions": 1}, "idle", None),
        ({"state": "of a newer release"}, "of a newer release", None),
    ],
)
def test_a_state_is_told_in_words(
    shown: Shown, changes: dict[str, Any], state: str, note: str | None
) -> None:
    lines = shown(one(**changes)).splitlines()
    assert lines[1].endswith(f"  {state}")
    assert lines[2:] == ([] if note is None else ["", note])


def test_json_is_the_document_and_model_chooses_one(shown: Shown) -> None:
    other = one(model="voice-eu")
    whole = json.loads(shown(one(), other, as_document=True))
    assert whole == {"object": "pools", "data": [one(), other]}
    assert json.loads(shown(one(), other, as_document=True, model="voice-eu"))["data"] == [other]
    assert len(shown(one(), other, model="voice-eu").splitlines()) == 2
    with pytest.raises(CliFailure, match="no running replica has a warm pool for the model voice") as failure:
        shown(one(), model="voice")
    assert failure.value.status == 1


def test_without_a_pool_it_says_how_to_have_one(shown: Shown) -> None:
    assert "docs/warm-pool.md" in shown()
    assert json.loads(shown(as_document=True)) == {"object": "pools", "data": []}


@pytest.mark.parametrize("strange", [{}, {"model": "x"}, None, one(hour=None), one(paused=7)])
def test_an_answer_of_another_shape_is_a_failure_of_the_other_side(shown: Shown, strange: Any) -> None:
    with pytest.raises(CliFailure) as failure:
        shown(strange)
    assert failure.value.status == 3


@pytest.mark.parametrize("name", ["sk-proj-0123456789abcdefghij", ""])
def test_a_model_that_looks_like_a_secret_is_not_repeated(shown: Shown, name: str) -> None:
    with pytest.raises(CliFailure) as failure:
        shown(one(), model=name)
    assert failure.value.status == 2
    assert "0123456789" not in str(failure.value)


def test_nothing_in_an_answer_moves_the_cursor(shown: Shown) -> None:
    assert "\x1b" not in shown(one(model="x\x1b[2J", state="filling", paused=told("limited", "a\x1b[2J")))
