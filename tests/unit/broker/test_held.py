"""Calls that a socket of this replica holds: how their ends are seen and noted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.broker.calls.held import LOOK_SECONDS, HeldCalls
from app.errors import StoreUnavailable
from app.models import Clocks
from app.store.records.record import CallRecord
from tests.support.clocks import eventually
from tests.unit.values import NOW


class Sockets:
    def __init__(self, *held: str) -> None:
        self.held = list(held)
        self.ended: list[str] = []

    def end(self, call_id: str) -> bool:
        self.ended.append(call_id)
        self.held.remove(call_id)
        return True


class Calls:
    """The records: which calls are noted as over, and how often the store fails first."""

    def __init__(self, *over: str, failures: int = 0) -> None:
        self.over = set(over)
        self.failures = failures
        self.asked: list[str] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []

    async def ended_among(self, call_ids: Sequence[str]) -> list[str]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return [one for one in call_ids if one in self.over]

    async def get(self, call_id: str) -> CallRecord | None:
        if call_id == "rtc_gone":
            return None
        if call_id == "rtc_new" and not self.asked.count(call_id):
            self.asked.append(call_id)
            return None
        ended_at = 7 if call_id in self.over else None
        return CallRecord(
            call_id, "h", "live", "assistant", "shop", "", int(NOW), "replica-b", ended_at=ended_at
        )

    async def mark_ended(self, call: CallRecord, **note: Any) -> None:
        self.notes.append((call.id, note))


class Settlements:
    """Runs each write when asked to."""

    def __init__(self) -> None:
        self.writes: list[Any] = []

    def write_soon(self, what: str, write: Any, **_: str) -> None:
        self.writes.append(write)

    async def run(self) -> None:
        for write in self.writes:
            await write()


class Hangup:
    def __init__(self, calls: Calls) -> None:
        self.calls, self.settlement = calls, Settlements()
        self.clocks, self.replica = Clocks(lambda: NOW, lambda: 0.0), "replica-a"


def held_calls(sockets: Sockets, calls: Calls) -> tuple[HeldCalls, Hangup]:
    hangup: Any = Hangup(calls)
    return HeldCalls(sockets=sockets, hangup=hangup), hangup


@pytest.mark.virtual_time
async def test_a_call_that_was_hung_up_elsewhere_has_its_socket_closed_also_after_an_outage() -> None:
    sockets = Sockets("rtc_1", "rtc_2")
    held, hangup = held_calls(sockets, Calls("rtc_2", failures=3))
    held.start()
    await eventually(lambda: sockets.ended)
    assert (sockets.ended, sockets.held) == (["rtc_2"], ["rtc_1"])
    assert hangup.settlement.writes == []
    await held.close()


@pytest.mark.virtual_time
async def test_a_call_that_ended_before_it_was_on_record_is_noted_all_the_same() -> None:
    calls = Calls()
    held, hangup = held_calls(Sockets(), calls)
    held.ended("rtc_new")
    await hangup.settlement.run()
    assert [call_id for call_id, _ in calls.notes] == ["rtc_new"]


@pytest.mark.virtual_time
async def test_the_end_of_a_socket_is_noted_unless_the_call_is_over_or_gone_from_the_record() -> None:
    calls = Calls("rtc_2")
    held, hangup = held_calls(Sockets(), calls)
    for call_id in ("rtc_1", "rtc_2", "rtc_gone"):
        held.ended(call_id)
    await hangup.settlement.run()
    assert calls.notes == [("rtc_1", {"ended_at": int(NOW), "ended_by": "replica-a", "because": "remote"})]


async def test_the_end_of_the_replica_ends_and_notes_what_it_holds() -> None:
    calls, sockets = Calls(), Sockets("rtc_1", "rtc_2")
    held, hangup = held_calls(sockets, calls)
    held.start()
    await held.close()
    await hangup.settlement.run()
    assert sockets.ended == ["rtc_1", "rtc_2"]
    assert [(call_id, note["because"]) for call_id, note in calls.notes] == [
        ("rtc_1", "replica"),
        ("rtc_2", "replica"),
    ]


def test_an_end_elsewhere_is_seen_within_a_second() -> None:
    assert LOOK_SECONDS <= 1
