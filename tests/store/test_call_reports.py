"""A page's report on the record of its call: whose, how many, and which one stays."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from app.reports import CallReport, Candidates, to_texts
from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.calls import MAX_REPORTS, CallStore
from app.store.records.record import CallRecord
from tests.store.test_calls import raw, register

FULL = CallReport(
    outcome="dtls_timeout",
    after_ms=600_000,
    ice_state="disconnected",
    dtls_state="connecting",
    protocol="udp",
    candidate_type="srflx",
    microphone="muted",
    local=Candidates(99, 99, 99, 99),
    remote=Candidates(1, 0, 0, 0),
    at=1_790_000_000,
)
GOOD = CallReport("connected", 812, at=1_790_000_001)


@pytest.fixture
def calls(connection: StoreConnection) -> CallStore:
    return CallStore(connection)


@pytest.fixture
async def call(connection: StoreConnection, handle_id: str) -> CallRecord:
    made = CallRecord(f"rtc_{handle_id}", handle_id, "sweden", "voice", "shop", "user-7", 1_234, "replica-b")
    await register(connection, made)
    return made


async def stored(calls: CallStore, call: CallRecord) -> CallReport | None:
    found = await calls.get(call.id)
    assert found is not None
    # Nothing else of the record has changed.
    assert replace(found, report=None) == call
    return found.report


@pytest.mark.parametrize("report", [FULL, GOOD], ids=["all fields", "two fields"])
async def test_a_report_reads_back_as_it_came_and_the_record_ends_when_it_would_have(
    calls: CallStore, connection: StoreConnection, call: CallRecord, report: CallReport
) -> None:
    await raw(connection).pexpire(keys.call(call.id), 60_000)
    taken = await calls.take_report(call.id, call.handle, report)
    assert (taken.how, taken.model, taken.deployment, taken.client) == ("first", "voice", "sweden", "shop")
    assert await stored(calls, call) == report
    assert 50_000 < await raw(connection).pttl(keys.call(call.id)) <= 60_000


def test_no_text_is_longer_than_what_keeps_a_hash_compact() -> None:
    assert max(map(len, to_texts(FULL))) <= 64


@pytest.mark.parametrize(
    ("outcomes", "hows", "stays"),
    [
        (["ice_timeout", "connected"], ["first", "more"], "ice_timeout"),
        (["ice_timeout", "no_audio"], ["first", "more"], "ice_timeout"),
        (["connected", "no_audio", "connected"], ["first", "worse", "more"], "no_audio"),
        (["connected", "connected"], ["first", "more"], "connected"),
    ],
)
async def test_the_first_failure_stays(
    calls: CallStore, call: CallRecord, outcomes: list[str], hows: list[str], stays: str
) -> None:
    for number, (outcome, how) in enumerate(zip(outcomes, hows, strict=True)):
        report = replace(FULL, outcome=outcome, after_ms=number)  # type: ignore[arg-type]  # a word of the table
        assert (await calls.take_report(call.id, call.handle, report)).how == how
    left = await stored(calls, call)
    assert left is not None
    assert left.outcome == stays
    assert left.after_ms == outcomes.index(stays)


async def test_a_failure_leaves_nothing_of_the_good_report_before_it(
    calls: CallStore, call: CallRecord
) -> None:
    await calls.take_report(call.id, call.handle, replace(FULL, outcome="connected"))
    bare = CallReport("no_audio", 9_000, at=1_790_000_009)
    await calls.take_report(call.id, call.handle, bare)
    assert await stored(calls, call) == bare


async def test_of_many_reports_at_once_so_many_are_taken_and_one_is_the_first(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    reports = [replace(FULL, after_ms=number) for number in range(20)]
    taken = await asyncio.gather(*(calls.take_report(call.id, call.handle, one) for one in reports))
    hows = Counter(one.how for one in taken)
    assert hows == {"first": 1, "more": MAX_REPORTS - 1, "limited": 20 - MAX_REPORTS}
    (first,) = [report for report, one in zip(reports, taken, strict=True) if one.how == "first"]
    assert await stored(calls, call) == first
    assert await raw(connection).hget(keys.call(call.id), "reports") == str(MAX_REPORTS)


async def test_another_handles_call_and_one_that_nobody_made_are_the_same_and_nothing_is_written(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    assert (await calls.take_report(call.id, "another", FULL)).how == "none"
    assert (await calls.take_report(call.id + "x", call.handle, FULL)).how == "none"
    assert await stored(calls, call) is None
    assert await raw(connection).exists(keys.call(call.id + "x")) == 0


async def test_a_record_of_a_newer_release_stays_as_it_is_and_is_no_ones_to_probe(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    client, key = raw(connection), keys.call(call.id)
    await client.hset(key, "v", 9)
    before = await client.hgetall(key)
    taken = await calls.take_report(call.id, call.handle, FULL)
    assert (taken.how, taken.version) == ("version", 9)
    assert (await calls.take_report(call.id, "another", FULL)).how == "none"
    assert await client.hgetall(key) == before


async def test_what_is_no_report_of_ours_is_none(
    calls: CallStore, connection: StoreConnection, call: CallRecord
) -> None:
    client, key = raw(connection), keys.call(call.id)
    for text in ("", "connected", "1 melted 2", "x connected 2", "1 connected 2 3"):
        await client.hset(key, "report", text)
        assert await stored(calls, call) is None, text
    extra = {"report": "1 connected 2", "report_states": "ice=connected odd", "report_candidates": "host=1"}
    await client.hset(key, mapping=extra)
    assert await stored(calls, call) == CallReport("connected", 2, ice_state="connected", at=1)
