"""How a command waits for calls to end: what it counts, when it gives up, and what it says then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.cli.calls.ending import Ending
from app.cli.calls.hangup import status_of, stop_matching, told
from app.cli.failure import CliFailure
from app.store.listing.views import CallFilter, Stopped
from app.store.records.record import CallRecord
from tests.support.clocks import eventually
from tests.unit.cli.values import call

IDS = tuple(f"rtc_{number}" for number in range(400))


class Service:
    """Calls of which some end with each look. It hands out 250 calls a step."""

    def __init__(self, *, ends: int = 0, failing: int = 0, **record: Any) -> None:
        self.open = {call_id: replace(call(**record), id=call_id) for call_id in IDS}
        self._ends, self._failing = ends, failing
        self.asked: list[int] = []
        self.dry: list[bool] = []

    async def stop_step(self, wanted: CallFilter, *, cursor: str | None, dry_run: bool = False) -> Stopped:
        self.dry.append(dry_run)
        ids, after = (IDS[:250], "1-1") if cursor is None else (IDS[250:], None)
        return Stopped(ids=ids, noted=0 if dry_run else len(ids), examined=len(ids), next_cursor=after)

    async def calls_named(self, call_ids: Sequence[str]) -> Mapping[str, CallRecord]:
        if self._failing:
            self._failing -= 1
            raise CliFailure("no replica can be reached", status=3)
        self.asked.append(len(call_ids))
        for call_id in list(self.open)[: self._ends]:
            self.open[call_id] = replace(self.open[call_id], ended_at=1)
        return {call_id: self.open[call_id] for call_id in call_ids if call_id in self.open}


def as_operator(service: Service) -> Any:
    """Only what a hang-up asks for is there; the rest would be an error."""
    return service


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.calls.ending._LOOK_SECONDS", 0.01)


async def noted(service: Service) -> Ending:
    ending = Ending()
    await stop_matching(as_operator(service), CallFilter(client="shop"), ending, quiet=True)
    return ending


async def test_all_are_noted_step_by_step_and_counted_once() -> None:
    service = Service()
    ending = await noted(service)
    assert (ending.found, ending.noted, ending.left) == (400, 400, 400)
    await stop_matching(as_operator(service), CallFilter(), ending, quiet=True, dry_run=True)
    assert (ending.found, service.dry) == (400, [False, False, True, True])


async def test_it_waits_until_all_have_ended_and_asks_for_bounded_numbers() -> None:
    service = Service(ends=400)
    ending = await noted(service)
    await ending.wait(as_operator(service), seconds=60, quiet=True)
    assert told(ending, waited=True) == "400 of 400 calls hung up"
    assert status_of(ending, waited=True) == 0
    assert sum(service.asked) == 400
    assert max(service.asked) <= 150


async def test_what_has_not_ended_in_time_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(ends=100, last_hangup_failure="upstream_unreachable", hangup_failures=2)
    for call_id in IDS[-20:]:
        service.open[call_id] = replace(service.open[call_id], last_hangup_failure="")
    ending = await noted(service)
    await ending.wait(as_operator(service), seconds=0, quiet=True)
    ending.tell_what_is_left()
    assert told(ending, waited=True) == "100 of 400 calls hung up"
    assert ending.as_json() == {
        "found": 400,
        "noted": 400,
        "ended": 100,
        "not_ended": {"not_tried": 20, "upstream_unreachable": 280},
        "newer_release": 0,
    }
    said = capsys.readouterr().err
    assert "280 calls: the last try failed (upstream_unreachable)" in said
    assert "20 calls: noted, and not tried yet" in said
    assert status_of(ending, waited=True) == 1


async def test_calls_whose_provider_has_no_hang_up_are_not_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Service(not_ended_because="no_hangup")
    ending = await noted(service)
    await ending.wait(as_operator(service), seconds=3600, quiet=True)
    ending.tell_what_is_left()
    assert "400 calls: the provider has no way to hang up" in capsys.readouterr().err
    assert status_of(ending, waited=True) == 1


async def test_a_call_that_is_no_longer_on_record_is_over() -> None:
    service = Service()
    ending = await noted(service)
    service.open.clear()
    await ending.wait(as_operator(service), seconds=60, quiet=True)
    assert (ending.ended, ending.left) == (400, 0)


async def test_a_replica_that_cannot_be_reached_for_a_moment_is_asked_again() -> None:
    service = Service(ends=400, failing=3)
    ending = await noted(service)
    await ending.wait(as_operator(service), seconds=60, quiet=True)
    assert ending.left == 0


async def test_without_an_answer_in_time_the_failure_says_that_the_replicas_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Service(failing=10_000)
    ending = await noted(service)
    with pytest.raises(CliFailure, match="no replica can be reached"):
        await ending.wait(as_operator(service), seconds=0, quiet=True)
    assert "0 of 400 calls hung up so far" in capsys.readouterr().err


async def test_ctrl_c_says_how_far_it_is_and_that_the_rest_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Service(ends=100)
    ending = await noted(service)
    work = asyncio.create_task(ending.wait(as_operator(service), seconds=3600, quiet=True))
    await eventually(lambda: ending.ended == 100)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    said = capsys.readouterr().err
    assert "stopped early: 100 of 400 calls hung up so far" in said
    assert "the replicas go on" in said


async def test_calls_of_a_newer_release_are_a_failure_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ending = Ending()
    ending.add(Stopped(newer=2))
    ending.tell_what_is_left()
    assert "2 calls: a newer release" in capsys.readouterr().err
    assert status_of(ending, waited=False) == 1


def test_what_would_be_done_and_what_was_only_noted_is_said_so() -> None:
    ending = Ending()
    assert told(ending, waited=True) == "no open call matches"
    ending.add(Stopped(ids=("rtc_1",), noted=1))
    assert told(ending, waited=False, dry_run=True) == "would hang up 1 open call"
    assert told(ending, waited=False) == "1 open call noted: the replicas hang them up, whichever runs"
    assert status_of(ending, waited=False) == 0
