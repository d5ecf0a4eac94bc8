"""A record that a newer release wrote, in every kind of store: shown, and otherwise left exactly as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.models import Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION
from app.store.listing.directory import HandleDirectory
from app.store.listing.views import CallFilter, HandleFilter
from app.store.records.calls import CallStore
from app.store.records.claims import Attempt, Keep, NewerVersion, Won
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, HandleRecord

NOW = 1_800_000_000.0
OFFER = "ab" * 32
# The next version, one far ahead, and what no release writes.
UNKNOWN = (str(RECORD_VERSION + 1), "99", "0", "-1", "2b", "nan", "inf", "")


@pytest.fixture
def record(handle_id: str) -> HandleRecord:
    return HandleRecord(
        id=handle_id,
        model="gpt-realtime-2.1",
        deployment="sweden",
        provider="azure",
        family="realtime",
        client=f"client:{handle_id}",
        subject="user-7",
        origin="",
        minted_at=int(NOW),
        expires_at=int(NOW) + 600,
        minted_by="replica-a",
        max_calls=1,
        sealed_key="seal1." + "A" * 120,
    )


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


async def claim(connection: StoreConnection, handle_id: str) -> object:
    store = HandleStore(connection, replica="replica-b")
    attempt = Attempt(handle_id, OFFER, "n1")
    return await store.claim(attempt, families=(Family.REALTIME,), pending=30, now=NOW)


async def save(connection: StoreConnection, record: HandleRecord) -> str:
    """Save it, and return its key."""
    await HandleStore(connection, replica="replica-a").save(record, life=600)
    return keys.handle(record.id)


async def test_a_record_is_written_with_the_version_and_read_with_and_without_it(
    connection: StoreConnection, record: HandleRecord
) -> None:
    key = await save(connection, record)
    assert await raw(connection).hget(key, "v") == str(RECORD_VERSION)
    await raw(connection).hdel(key, "v")
    view = await HandleDirectory(connection).get(record.id)
    assert view is not None
    assert (view.version, view.state) == (1, "live")
    assert isinstance(await claim(connection, record.id), Won)
    assert await HandleDirectory(connection).revoke(record.id, by="sre", now=NOW) == "revoked"


@pytest.mark.parametrize("version", UNKNOWN)
async def test_a_claim_and_a_revocation_leave_a_record_of_an_unknown_version_as_it_is(
    connection: StoreConnection, record: HandleRecord, version: str
) -> None:
    key = await save(connection, record)
    await raw(connection).hset(key, "v", version)
    before = await raw(connection).hgetall(key)
    assert await claim(connection, record.id) == NewerVersion(version)
    directory = HandleDirectory(connection)
    assert await directory.revoke(record.id, by="sre", now=NOW) == "newer"
    assert await raw(connection).hgetall(key) == before
    assert await raw(connection).exists(keys.claim(record.id, OFFER)) == 0

    view = await directory.get(record.id)
    assert view is not None
    assert (view.state, view.client, view.expires_at) == ("unknown", record.client, record.expires_at)
    # As soon as the version is known, the handle works: nothing was spent.
    await raw(connection).hset(key, "v", str(RECORD_VERSION))
    assert isinstance(await claim(connection, record.id), Won)


async def test_a_revocation_of_many_takes_the_others_and_counts_what_it_left(
    connection: StoreConnection, record: HandleRecord
) -> None:
    ours = await save(connection, record)
    newer = await save(connection, replace(record, id=f"{record.id}-newer"))
    await raw(connection).hset(newer, "v", "2")
    wanted = HandleFilter(client=record.client)
    step = await HandleDirectory(connection).revoke_page(wanted, by="sre", now=NOW)
    assert (step.revoked, step.already, step.newer, step.examined) == (1, 0, 1, 2)
    assert await raw(connection).hexists(ours, "revoked_at")
    assert not await raw(connection).hexists(newer, "revoked_at")


async def test_the_list_shows_a_record_of_another_form_beside_the_others(
    connection: StoreConnection, record: HandleRecord
) -> None:
    await save(connection, record)
    newer = await save(connection, replace(record, id=f"{record.id}-newer"))
    # What a later release might make of the fields that may change.
    changed = {
        "v": "7",
        "calls": "2/5",
        "max_calls": "many",
        "relays": "{}",
        "last_call_at": "soon",
        "relay_1": "x",
    }
    await raw(connection).hset(newer, mapping=changed)
    await raw(connection).hdel(newer, "sealed_key", "sealed_key_2")
    directory = HandleDirectory(connection)
    page = await directory.page(HandleFilter(client=record.client), now=NOW)
    assert {view.id: (view.version, view.state) for view in page.items} == {
        record.id: (RECORD_VERSION, "live"),
        f"{record.id}-newer": (7, "unknown"),
    }
    unknown = await directory.page(HandleFilter(client=record.client, state="unknown"), now=NOW)
    assert [view.id for view in unknown.items] == [f"{record.id}-newer"]
    # Without its key the record would pass for one that is gone.
    assert await claim(connection, f"{record.id}-newer") == NewerVersion("7")


async def test_even_a_record_with_nothing_but_a_version_is_shown_and_refused(
    connection: StoreConnection, handle_id: str
) -> None:
    await raw(connection).hset(keys.handle(handle_id), "v", "9")
    await raw(connection).hset(keys.call(handle_id), "v", "9")
    view = await HandleDirectory(connection).get(handle_id)
    assert view is not None
    assert (view.version, view.state, view.minted_at) == (9, "unknown", 0)
    assert await claim(connection, handle_id) == NewerVersion("9")
    assert await HandleDirectory(connection).revoke(handle_id, by="sre", now=NOW) == "newer"
    call = await CallStore(connection).get(handle_id)
    assert call == CallRecord(handle_id, "", "", "", "", "", 0, "", version=9)


async def test_a_call_of_an_unknown_version_is_listed_with_what_every_version_has(
    connection: StoreConnection, handle_id: str
) -> None:
    call = CallRecord(
        f"rtc_{handle_id}", handle_id, "sweden", "gpt", f"c:{handle_id}", "", int(NOW), "replica-b"
    )
    store, calls = HandleStore(connection, replica="replica-b"), CallStore(connection)
    attempt = Attempt(handle_id, OFFER, "n1")
    await store.settle(attempt, "seal1.B", call, keep=Keep(30, 7200), now=NOW)
    assert await raw(connection).hget(keys.call(call.id), "v") == str(RECORD_VERSION)
    await raw(connection).hset(keys.call(call.id), mapping={"v": "2", "ended_at": "never"})
    page = await calls.page(CallFilter(client=call.client, state="unknown"), now=NOW)
    assert [(one.id, one.handle, one.version, one.ended_at) for one in page.items] == [
        (call.id, handle_id, 2, None)
    ]
    assert not (await calls.page(CallFilter(client=call.client, state="open"), now=NOW)).items
