"""What operators ask of the store, in every kind of it: list, show, count, revoke."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from app.errors import InvalidRequest
from app.models import Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.listing.directory import HandleDirectory, alive
from app.store.listing.views import CallFilter, HandleFilter, HandleView, RelayNote
from app.store.records.calls import CallStore
from app.store.records.claims import Attempt, Keep, Revoked, Won
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, HandleRecord

OFFER = "ab" * 32
NOW = 1_800_000_000.0


@pytest.fixture
def store(connection: StoreConnection) -> HandleStore:
    return HandleStore(connection, replica="replica-b")


@pytest.fixture
def directory(connection: StoreConnection) -> HandleDirectory:
    return HandleDirectory(connection)


@pytest.fixture
def record(handle_id: str) -> HandleRecord:
    """Names of its own, since the servers are shared by all tests."""
    return HandleRecord(
        id=handle_id,
        model=f"model of {handle_id}",
        deployment="sweden",
        provider="azure",
        family="realtime",
        client=f"client:{handle_id}",
        subject=f"subject {handle_id}",
        origin="https://app.example",
        minted_at=int(NOW),
        expires_at=int(NOW) + 600,
        minted_by="replica-a",
        max_calls=2,
        sealed_key="seal1." + "A" * 120,
    )


async def claim(store: HandleStore, handle_id: str, offer: str = OFFER, nonce: str = "n1") -> object:
    return await store.claim(
        Attempt(handle_id, offer, nonce), families=(Family.REALTIME,), pending=30, now=NOW + 1
    )


async def save_many(store: HandleStore, record: HandleRecord, count: int) -> list[str]:
    """So many like this one, some of which expire in other minutes."""
    ids = [f"{record.id}-{number:04d}" for number in range(count)]
    for number, handle_id in enumerate(ids):
        later = record.expires_at + number % 7 * 60
        await store.save(replace(record, id=handle_id, expires_at=later), life=600)
    return ids


async def all_pages(directory: HandleDirectory, wanted: HandleFilter, limit: int) -> list[HandleView]:
    views: list[HandleView] = []
    cursor: str | None = None
    while True:
        page = await directory.page(wanted, now=NOW, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        views += page.items
        cursor = page.next_cursor
        if cursor is None:
            return views


async def test_a_fresh_handle_is_shown_as_it_was_minted(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    view = await directory.get(record.id)
    assert view is not None
    for name in ("model", "deployment", "provider", "family", "client", "subject", "origin", "minted_at"):
        assert getattr(view, name) == getattr(record, name), name
    assert 599 < view.life <= 600
    assert (view.state, view.calls, view.uses_left, view.relays) == ("live", 0, 2, ())
    assert "AAAA" not in repr(view)
    assert await directory.get("nobody") is None


async def test_the_sealed_key_comes_back_whole_whatever_its_length(
    store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    for length in (1, 63, 64, 65, 128, 129, 200, 256, 257, 5_000):
        sealed = "".join(itertools.islice(itertools.cycle("seal1.abcdefghijklmnopqrstuvwxyz"), length))
        one = replace(record, id=f"{record.id}-{length}", sealed_key=sealed)
        await store.save(one, life=60)
        won = await claim(store, one.id)
        assert isinstance(won, Won)
        assert won.sealed_key == sealed
        fields = await connection._client.driver.client.hgetall(keys.handle(one.id))
        if length <= 256:
            assert max(len(value) for value in fields.values()) <= 64
        await claim(store, one.id, nonce="n1")


async def test_the_story_tells_each_relay_and_the_last_refusal(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    offers = [f"{number:032x}" * 2 for number in range(4)]
    assert isinstance(await claim(store, record.id, offers[0], "n0"), Won)
    first = Attempt(record.id, offers[0], "n0")
    for _ in range(2):  # a repeat tells nothing twice
        await store.release(first, give_back=True, code="upstream_unreachable", now=NOW + 2)
    assert isinstance(await claim(store, record.id, offers[1], "n1"), Won)
    call = CallRecord("rtc_1", record.id, "sweden", record.model, record.client, "", int(NOW), "replica-b")
    for _ in range(2):
        await store.settle(
            Attempt(record.id, offers[1], "n1"), "seal1.B", call, keep=Keep(30, 7200), now=NOW + 3
        )
    assert isinstance(await claim(store, record.id, offers[2], "n2"), Won)
    for _ in range(2):
        await store.mark_unknown(
            Attempt(record.id, offers[2], "n2"), window=30, code="upstream_timeout", now=NOW + 4
        )
    for _ in range(3):
        await claim(store, record.id, offers[3], "n3")
    view = await directory.get(record.id)
    assert view is not None
    assert view.relays == (
        RelayNote(int(NOW) + 2, "upstream_unreachable"),
        RelayNote(int(NOW) + 3, "answered", "rtc_1"),
        RelayNote(int(NOW) + 4, "upstream_timeout"),
    )
    assert (view.state, view.calls, view.uses_left) == ("spent", 2, 0)
    assert (view.refusals, view.last_refusal) == (3, RelayNote(int(NOW) + 1, "handle_spent"))
    assert (view.last_call_at, view.last_call_by) == (int(NOW) + 1, "replica-b")


async def test_the_story_keeps_the_last_twenty_relays_and_grows_no_further(
    store: HandleStore, directory: HandleDirectory, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(replace(record, max_calls=0), life=600)
    for number in range(45):
        offer = f"{number:032x}" * 2
        await claim(store, record.id, offer, "n")
        await store.release(
            Attempt(record.id, offer, "n"), give_back=False, code=f"code_{number}", now=NOW + number
        )
    view = await directory.get(record.id)
    assert view is not None
    assert view.relays_count == 45
    assert [note.outcome for note in view.relays] == [f"code_{number}" for number in range(25, 45)]
    fields: list[Any] = await connection._client.driver.client.hkeys(keys.handle(record.id))
    assert len([name for name in fields if name.startswith("relay_")]) == 20


async def test_a_settlement_after_the_handle_has_expired_leaves_no_record(
    store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.release(Attempt(record.id, OFFER, "n1"), give_back=True, code="x", now=NOW)
    await store.mark_unknown(Attempt(record.id, OFFER, "n1"), window=30, code="x", now=NOW)
    await store.settle(Attempt(record.id, OFFER, "n1"), "seal1.B", None, keep=Keep(30, 60), now=NOW)
    assert await connection._client.driver.client.exists(keys.handle(record.id)) == 0


@pytest.mark.parametrize("limit", [1, 4, 1000])
async def test_pages_of_any_size_name_each_handle_once_latest_expiry_first(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord, limit: int
) -> None:
    ids = await save_many(store, record, 23)
    for wanted in (
        HandleFilter(client=record.client),
        HandleFilter(subject=record.subject),
        HandleFilter(model=record.model),
        HandleFilter(model=record.model, deployment="sweden", state="live"),
    ):
        views = await all_pages(directory, wanted, limit)
        assert sorted(view.id for view in views) == ids
        minutes = [view.expires_at // 60 for view in views]
        assert minutes == sorted(minutes, reverse=True)
    assert set(ids) <= {view.id for view in await all_pages(directory, HandleFilter(), 1000)}
    assert await all_pages(directory, HandleFilter(model=record.model, deployment="other"), limit) == []


async def test_handles_minted_between_two_pages_neither_repeat_nor_hide_one(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord
) -> None:
    ids = await save_many(store, record, 20)
    wanted = HandleFilter(client=record.client)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await directory.page(wanted, now=NOW, cursor=cursor, limit=3)
        seen += [view.id for view in page.items]
        await save_many(store, replace(record, id=f"{record.id}-{len(seen)}-new"), 7)
        cursor = page.next_cursor
        if cursor is None:
            break
    first = [handle_id for handle_id in seen if "-new-" not in handle_id]
    assert sorted(first) == ids
    assert len(seen) == len(set(seen))


async def test_another_subject_in_the_same_list_is_neither_shown_nor_revoked(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord
) -> None:
    twin = next(
        name
        for name in (f"twin-{number}" for number in itertools.count())
        if keys.subject_handles(name, 1) == keys.subject_handles(record.subject, 1)
    )
    record = replace(record, expires_at=int(NOW) + 7000)
    await store.save(record, life=7000)
    await store.save(replace(record, id=f"{record.id}-twin", subject=twin), life=7000)
    page = await directory.page(HandleFilter(subject=twin), now=NOW)
    assert [view.subject for view in page.items] == [twin]
    outcome = await directory.revoke_page(HandleFilter(subject=twin), by="ops", now=NOW)
    assert (outcome.revoked, outcome.already, outcome.next_cursor) == (1, 0, None)
    # Both were looked at. More than two, when by chance another test's subject has the same list.
    assert outcome.examined >= 2
    view = await directory.get(record.id)
    assert view is not None
    assert view.state == "live"


async def test_a_revoked_handle_wins_no_claim_and_keeps_its_first_revocation(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    assert await directory.revoke(record.id, by="alice", now=NOW + 5) == "revoked"
    assert await directory.revoke(record.id, by="bob", now=NOW + 9) == "already"
    assert await directory.revoke("nobody", by="bob", now=NOW) == "gone"
    assert isinstance(await claim(store, record.id), Revoked)
    view = await directory.get(record.id)
    assert view is not None
    assert (view.state, view.revoked_at, view.revoked_by) == ("revoked", int(NOW) + 5, "alice")
    assert view.last_refusal == RelayNote(int(NOW) + 1, "handle_revoked")


async def test_an_expired_handle_that_the_index_still_names_is_not_brought_back_by_a_revocation(
    store: HandleStore, directory: HandleDirectory, connection: StoreConnection, record: HandleRecord
) -> None:
    await store.save(record, life=600)
    await connection._client.driver.client.delete(keys.handle(record.id))
    outcome = await directory.revoke_page(HandleFilter(client=record.client), by="ops", now=NOW)
    assert (outcome.revoked, outcome.already, outcome.examined) == (0, 0, 1)
    assert await connection._client.driver.client.exists(keys.handle(record.id)) == 0
    assert (await directory.page(HandleFilter(client=record.client), now=NOW)).items == ()


@pytest.mark.parametrize("field", ["client", "model", "subject"])
async def test_revoking_by_name_takes_all_of_that_name_and_no_other(
    store: HandleStore, directory: HandleDirectory, record: HandleRecord, field: str
) -> None:
    ids = await save_many(store, record, 12)
    other: dict[str, Any] = {field: "somebody else"}
    await store.save(replace(record, id=f"{record.id}-other", **other), life=600)
    wanted = HandleFilter(**{field: getattr(record, field)})
    assert await directory.count(wanted, now=NOW) >= 12
    outcome = await directory.revoke_page(wanted, by="ops", now=NOW)
    assert (outcome.revoked, outcome.already, outcome.next_cursor) == (12, 0, None)
    again = await directory.revoke_page(wanted, by="ops", now=NOW)
    assert (again.revoked, again.already) == (0, 12)
    for handle_id in ids:
        assert isinstance(await claim(store, handle_id), Revoked)
    assert isinstance(await claim(store, f"{record.id}-other"), Won)


async def test_the_lists_of_the_index_end_after_all_that_they_name(
    store: HandleStore, connection: StoreConnection, record: HandleRecord
) -> None:
    minute = record.expires_at // 60
    names = (
        keys.handles(minute),
        keys.client_handles(record.client, minute),
        keys.model_handles(record.model, minute),
        keys.subject_handles(record.subject, minute),
    )
    await store.save(record, life=30)
    await store.save(replace(record, id=f"{record.id}-2"), life=600)
    await store.save(replace(record, id=f"{record.id}-3"), life=60)
    for name in names:
        assert await connection._client.driver.client.pttl(name) > 715_000, name
    for name in names[1:]:
        assert await connection._client.driver.client.pttl(name) <= 720_000, name


async def test_a_cursor_that_is_none_of_ours_is_refused(
    directory: HandleDirectory, connection: StoreConnection
) -> None:
    for cursor in ("", "x", "1-", "1-2-3", "-1-2", "1" * 13 + "-1", "1-1\n"):
        with pytest.raises(InvalidRequest):
            await directory.page(HandleFilter(), now=NOW, cursor=cursor)
        with pytest.raises(InvalidRequest):
            await CallStore(connection).page(CallFilter(), now=NOW, cursor=cursor)


async def test_calls_are_listed_latest_first_by_each_filter_and_counted_until_hung_up(
    store: HandleStore, connection: StoreConnection, directory: HandleDirectory, record: HandleRecord
) -> None:
    calls = CallStore(connection, retention=7200)
    before = await alive(directory, calls, now=NOW)
    made = []
    for number in range(9):
        call = CallRecord(
            id=f"rtc_{record.id}_{number}",
            handle=record.id,
            deployment="sweden" if number % 2 else "openai",
            model=record.model,
            client=record.client,
            subject=record.subject,
            relayed_at=int(NOW) - number * 60,
            relayed_by="replica-b",
        )
        made.append(call)
        await store.settle(
            Attempt(record.id, f"{number:032x}" * 2, "n"), "seal1.B", call, keep=Keep(30, 7200), now=NOW
        )
    wanted = CallFilter(client=record.client)
    listed: list[CallRecord] = []
    cursor: str | None = None
    while True:
        page = await calls.page(wanted, now=NOW, cursor=cursor, limit=4)
        listed += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == made
    sweden = await calls.page(CallFilter(subject=record.subject, deployment="sweden"), now=NOW)
    assert [call.id for call in sweden.items] == [call.id for call in made[1::2]]
    for _ in range(2):
        await calls.mark_ended(made[3], ended_at=int(NOW), ended_by="replica-a")
    ended = await calls.page(replace(wanted, state="ended"), now=NOW)
    assert [call.id for call in ended.items] == [made[3].id]
    assert len((await calls.page(replace(wanted, state="open"), now=NOW)).items) == 8
    after = await alive(directory, calls, now=NOW)
    assert after.calls - before.calls == 8
