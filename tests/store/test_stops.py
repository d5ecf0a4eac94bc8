"""Calls that operators end, in every kind of store: counted, noted, made due, and missed by no revocation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.models import LONGEST_CALL_SECONDS, Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.listing.directory import RELAYED_SECONDS, HandleDirectory
from app.store.listing.stops import MAX_STEP, CallStops
from app.store.listing.views import CallFilter, HandleFilter, Stopped
from app.store.records.calls import CallStore
from app.store.records.claims import Attempt, Keep, Revoked, Won
from app.store.records.deadlines import CallDeadlines
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, HandleRecord

OFFER = "ab" * 32
NOW = 1_800_000_000.0
# Longer than a test takes.
HOLD = 60.0


@pytest.fixture
def store(connection: StoreConnection) -> HandleStore:
    return HandleStore(connection, replica="replica-b")


@pytest.fixture
def calls(connection: StoreConnection) -> CallStore:
    return CallStore(connection)


@pytest.fixture
def directory(connection: StoreConnection) -> HandleDirectory:
    return HandleDirectory(connection)


@pytest.fixture
async def stops(connection: StoreConnection, calls: CallStore, directory: HandleDirectory) -> CallStops:
    """Beside no deadline of another test."""
    for name in keys.ALL_DEADLINES:
        await raw(connection).delete(name)
    return CallStops(connection, calls, directory)


@pytest.fixture
def record(handle_id: str) -> HandleRecord:
    """A handle for any number of calls, with names of its own: the servers are shared by all tests."""
    return HandleRecord(
        id=handle_id,
        model=f"model of {handle_id}",
        deployment="sweden",
        provider="azure",
        family="realtime",
        client=f"client:{handle_id}",
        subject=f"subject {handle_id}",
        origin="",
        minted_at=int(NOW),
        expires_at=int(NOW) + 600,
        minted_by="replica-a",
        max_calls=0,
        sealed_key="seal1.AAAA",
    )


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


def attempt_of(record: HandleRecord, number: int = 0) -> Attempt:
    return Attempt(record.id, f"{number:032x}" * 2, f"n{number}")


def call_of(record: HandleRecord, number: int = 0, **changed: Any) -> CallRecord:
    made = CallRecord(
        id=f"rtc_{record.id}_{number}",
        handle=record.id,
        deployment=record.deployment,
        model=record.model,
        client=record.client,
        subject=record.subject,
        relayed_at=int(NOW) - number % 7 * 60,
        relayed_by="replica-b",
    )
    return replace(made, **changed)


async def claim(store: HandleStore, record: HandleRecord, number: int = 0) -> object:
    return await store.claim(attempt_of(record, number), families=(Family.REALTIME,), pending=HOLD, now=NOW)


async def settle(store: HandleStore, call: CallRecord, number: int = 0) -> bool:
    attempt = Attempt(call.handle, f"{number:032x}" * 2, f"n{number}")
    return await store.settle(attempt, f"seal1.{number}", call, keep=Keep(30, 7200), now=NOW)


async def relayed(store: HandleStore, record: HandleRecord, count: int, **changed: Any) -> list[CallRecord]:
    made = [call_of(record, number, **changed) for number in range(count)]
    await asyncio.gather(*(settle(store, call, number) for number, call in enumerate(made)))
    return made


async def due(connection: StoreConnection) -> set[str]:
    """The calls that are to be hung up now because an operator wants it."""
    taken = await CallDeadlines(connection).take(hold=HOLD, at_most=100_000)
    assert {one.reason for one in taken} <= {"operator"}
    return {one.call_id for one in taken}


async def all_steps(stops: CallStops, wanted: CallFilter, *, dry_run: bool = False) -> list[Stopped]:
    steps: list[Stopped] = []
    cursor: str | None = None
    while True:
        steps.append(await stops.step(wanted, by="alice", now=NOW, cursor=cursor, dry_run=dry_run))
        cursor = steps[-1].next_cursor
        if cursor is None:
            return steps


async def test_the_open_calls_that_match_are_noted_and_due_and_no_other_one_is_touched(
    stops: CallStops, store: HandleStore, calls: CallStore, connection: StoreConnection, record: HandleRecord
) -> None:
    mine = await relayed(store, record, 5)
    other = replace(record, id=f"{record.id}-other", client=f"{record.client}-other")
    (untouched,) = await relayed(store, other, 1)
    await calls.mark_ended(mine[0], ended_at=int(NOW), ended_by="replica-a")
    step = await stops.step(CallFilter(client=record.client), by="alice", now=NOW)
    wanted = {call.id for call in mine[1:]}
    assert (set(step.ids), step.noted, step.newer, step.next_cursor) == (wanted, 4, 0, None)
    assert await due(connection) == wanted
    found = await calls.get_many([call.id for call in (*mine, untouched)])
    assert {one.id for one in found.values() if one.hangup_asked_by == "alice"} == wanted
    assert {found[one].hangup_asked_at for one in wanted} == {int(NOW)}
    assert found[untouched.id] == untouched


@pytest.mark.parametrize("name", ["subject", "model", "deployment", "handle"])
async def test_calls_are_found_by_every_name(
    stops: CallStops, store: HandleStore, record: HandleRecord, name: str
) -> None:
    other = replace(
        record,
        id=f"{record.id}-other",
        subject="other",
        model="other",
        deployment="other",
    )
    mine = await relayed(store, record, 2)
    await relayed(store, other, 2)
    given: dict[str, Any] = {name: record.id if name == "handle" else getattr(record, name)}
    steps = await all_steps(stops, CallFilter(client=record.client, **given))
    assert {call_id for step in steps for call_id in step.ids} == {call.id for call in mine}


async def test_a_second_order_finds_the_same_calls_and_keeps_the_first_name(
    stops: CallStops, store: HandleStore, calls: CallStore, connection: StoreConnection, record: HandleRecord
) -> None:
    (call,) = await relayed(store, record, 1)
    wanted = CallFilter(client=record.client)
    await stops.step(wanted, by="alice", now=NOW)
    again = await stops.step(wanted, by="bob", now=NOW + 5)
    assert (again.ids, again.noted) == ((call.id,), 0)
    found = await calls.get(call.id)
    assert found is not None
    assert (found.hangup_asked_by, found.hangup_asked_at) == ("alice", int(NOW))
    # One deadline, so one hang-up.
    assert await due(connection) == {call.id}
    assert await due(connection) == set()


async def test_a_note_without_its_deadline_gets_it_from_the_next_order(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    """Whoever noted it died before the deadline was written."""
    (call,) = await relayed(store, record, 1)
    await raw(connection).hset(keys.call(call.id), mapping={"hangup_asked_at": "1", "hangup_asked_by": "bob"})
    assert await stops.one(call.id, by="alice", now=NOW) == "already"
    assert await due(connection) == {call.id}


async def test_a_dry_run_counts_and_changes_nothing(
    stops: CallStops, store: HandleStore, calls: CallStore, connection: StoreConnection, record: HandleRecord
) -> None:
    (call,) = await relayed(store, record, 1)
    step = await stops.step(CallFilter(client=record.client), by="alice", now=NOW, dry_run=True)
    assert (step.ids, step.noted) == ((call.id,), 0)
    assert await calls.get(call.id) == call
    assert await due(connection) == set()


async def test_calls_that_are_older_than_any_call_lasts_are_over(
    stops: CallStops, store: HandleStore, record: HandleRecord
) -> None:
    old = int(NOW) - LONGEST_CALL_SECONDS
    await settle(store, call_of(record, 0, relayed_at=old), 0)
    await settle(store, call_of(record, 1, relayed_at=old - 1), 1)
    step = await stops.step(CallFilter(client=record.client), by="alice", now=NOW)
    assert step.ids == (call_of(record, 0).id,)


async def test_many_calls_take_several_steps_and_each_is_noted_once(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    many = MAX_STEP + 250
    for first in range(0, many, 50):
        await asyncio.gather(
            *(settle(store, call_of(record, number), number) for number in range(first, first + 50))
        )
    wanted = CallFilter(client=record.client)
    counted = await all_steps(stops, wanted, dry_run=True)
    steps = await all_steps(stops, wanted)
    for taken in (counted, steps):
        assert len(taken) == 2
        assert sum(len(step.ids) for step in taken) == many
    assert sum(step.noted for step in steps) == many
    assert len(await due(connection)) == many


async def test_a_record_of_a_newer_release_is_counted_and_left_alone(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    (call,) = await relayed(store, record, 1)
    await raw(connection).hset(keys.call(call.id), "v", keys.RECORD_VERSION + 1)
    step = await stops.step(CallFilter(client=record.client), by="alice", now=NOW)
    assert (step.ids, step.noted, step.newer) == ((), 0, 1)
    assert await stops.one(call.id, by="alice", now=NOW) == "newer"
    assert await raw(connection).hget(keys.call(call.id), "hangup_asked_by") is None
    assert await due(connection) == set()


async def test_a_call_that_has_ended_or_is_not_on_record_is_told_and_gets_no_record(
    stops: CallStops, store: HandleStore, calls: CallStore, connection: StoreConnection, record: HandleRecord
) -> None:
    (call,) = await relayed(store, record, 1)
    await calls.mark_ended(call, ended_at=int(NOW), ended_by="replica-a")
    assert await stops.one(call.id, by="alice", now=NOW) == "ended"
    assert await stops.one("rtc_nobody", by="alice", now=NOW) == "gone"
    assert not await raw(connection).exists(keys.call("rtc_nobody"))
    assert await due(connection) == set()


# --- revocations that take the calls along --------------------------------------------------------


async def revoke(stops: CallStops, wanted: HandleFilter, *, calls: bool) -> tuple[int, list[str], int]:
    """Handles revoked, calls found, calls noted, over all steps."""
    revoked, ids, noted, cursor = 0, list[str](), 0, None
    while True:
        step = await stops.revoke_step(wanted, by="alice", now=NOW, cursor=cursor, calls=calls)
        revoked += step.revoked
        assert (step.calls is not None) is calls
        if step.calls is not None:
            ids += step.calls.ids
            noted += step.calls.noted
        cursor = step.next_cursor
        if cursor is None:
            return revoked, ids, noted


async def test_a_revocation_takes_the_calls_along_only_where_it_is_asked_to(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    made = await relayed(store, record, 3)
    wanted = HandleFilter(client=record.client)
    assert await revoke(stops, wanted, calls=False) == (1, [], 0)
    assert await due(connection) == set()
    # Revoked before, and its calls still end.
    revoked, ids, noted = await revoke(stops, wanted, calls=True)
    assert (revoked, sorted(ids), noted) == (0, sorted(call.id for call in made), 3)
    assert await due(connection) == {call.id for call in made}


async def test_calls_of_handles_that_expired_meanwhile_end_with_the_others_of_their_client(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    expired = replace(record, id=f"{record.id}-expired")
    (call,) = await relayed(store, expired, 1)
    assert await revoke(stops, HandleFilter(client=record.client), calls=True) == (0, [call.id], 1)


async def test_a_relay_that_settles_after_the_revocation_has_its_call_ended(
    stops: CallStops, store: HandleStore, calls: CallStore, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    assert isinstance(await claim(store, record), Won)
    assert await revoke(stops, HandleFilter(client=record.client), calls=True) == (1, [], 0)
    assert isinstance(await claim(store, record, 1), Revoked)
    call = call_of(record)
    assert await settle(store, call) is True
    assert await due(connection) == {call.id}
    found = await calls.get(call.id)
    assert found is not None
    assert found.hangup_asked_by == "alice"
    # The reply was lost, so the settlement is repeated: no second deadline.
    assert await settle(store, call) is True
    assert await due(connection) == set()


async def test_so_does_a_call_whose_answer_came_too_late(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    await claim(store, record)
    assert await stops._handles.revoke(record.id, by="alice", now=NOW, calls=True) == "revoked"
    call = call_of(record)
    await store.mark_unknown(
        attempt_of(record), window=30, code="outcome_unknown", now=NOW, call=call, retention=7200
    )
    assert await due(connection) == {call.id}


async def test_a_revocation_alone_lets_the_call_of_a_relay_under_way_go_on(
    store: HandleStore, stops: CallStops, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    await claim(store, record)
    await revoke(stops, HandleFilter(client=record.client), calls=False)
    assert await settle(store, call_of(record)) is True
    assert await due(connection) == set()


async def test_of_relays_and_revocations_at_the_same_time_no_call_is_missed(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    """Each call either was on record when the revocation looked, or saw the revocation when it settled."""
    handles = [replace(record, id=f"{record.id}-{number}") for number in range(40)]
    await asyncio.gather(*(store.save(one, life=600) for one in handles))

    async def one_relay(handle: HandleRecord, number: int) -> str | None:
        await asyncio.sleep(number % 10 / 1000)
        if not isinstance(await claim(store, handle), Won):
            return None
        await asyncio.sleep(number % 7 / 1000)
        call = call_of(handle)
        await settle(store, call)
        return call.id

    relays = asyncio.gather(*(one_relay(handle, number) for number, handle in enumerate(handles)))
    await asyncio.sleep(0.005)
    await revoke(stops, HandleFilter(client=record.client), calls=True)
    made = {call_id for call_id in await relays if call_id is not None}
    assert await due(connection) == made


async def test_the_record_of_a_handle_that_is_about_to_expire_stays_for_its_relays(
    stops: CallStops, store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=10)
    await stops._handles.revoke(record.id, by="alice", now=NOW)
    assert await raw(connection).pttl(keys.handle(record.id)) <= 10_000
    await stops._handles.revoke(record.id, by="alice", now=NOW, calls=True)
    left = await raw(connection).pttl(keys.handle(record.id))
    assert 10_000 < left <= RELAYED_SECONDS * 1000
    later = replace(record, id=f"{record.id}-later")
    await store.save(later, life=600)
    await stops._handles.revoke(later.id, by="alice", now=NOW, calls=True)
    assert await raw(connection).pttl(keys.handle(later.id)) > RELAYED_SECONDS * 1000


async def test_the_calls_of_one_handle_are_those_that_its_record_names(
    stops: CallStops,
    store: HandleStore,
    directory: HandleDirectory,
    connection: StoreConnection,
    record: HandleRecord,
) -> None:
    await store.save(record, life=600)
    made = await relayed(store, record, 20)
    other = replace(record, id=f"{record.id}-other")
    await relayed(store, other, 1)
    await directory.revoke(record.id, by="alice", now=NOW, calls=True)
    view = await directory.get(record.id)
    assert view is not None
    assert view.calls_revoked_by == "alice"
    stopped = await stops.of_handle(view, by="alice", now=NOW)
    assert (sorted(stopped.ids), stopped.noted) == (sorted(call.id for call in made), 20)
    assert stopped.next_cursor is None


async def test_more_calls_of_one_handle_than_its_record_names_are_found_in_the_index(
    stops: CallStops,
    store: HandleStore,
    directory: HandleDirectory,
    connection: StoreConnection,
    record: HandleRecord,
) -> None:
    await store.save(record, life=600)
    made = await relayed(store, record, 23)
    await directory.revoke(record.id, by="alice", now=NOW, calls=True)
    view = await directory.get(record.id)
    assert view is not None
    step = await stops.of_handle(view, by="alice", now=NOW)
    ids = [*step.ids]
    while step.next_cursor is not None:
        step = await stops.step(CallFilter(handle=record.id), by="alice", now=NOW, cursor=step.next_cursor)
        ids += step.ids
    assert sorted(ids) == sorted(call.id for call in made)


async def test_a_call_whose_record_is_still_on_its_way_is_waited_for(
    stops: CallStops,
    store: HandleStore,
    directory: HandleDirectory,
    connection: StoreConnection,
    record: HandleRecord,
) -> None:
    """Its handle's node took the outcome already; the node of the call has not."""
    await store.save(record, life=600)
    call = call_of(record)
    await settle(store, call)
    fields = await raw(connection).hgetall(keys.call(call.id))
    await raw(connection).delete(keys.call(call.id))
    await directory.revoke(record.id, by="alice", now=NOW, calls=True)
    view = await directory.get(record.id)
    assert view is not None
    stopping = asyncio.create_task(stops.of_handle(view, by="alice", now=NOW))
    await asyncio.sleep(0.05)
    await raw(connection).hset(keys.call(call.id), mapping=fields)
    assert (await stopping).ids == (call.id,)
    assert await due(connection) == {call.id}
