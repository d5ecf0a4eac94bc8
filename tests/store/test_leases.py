"""Leases over every kind of store: a process that died is told from a living one, and its claim is ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.models import Family
from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import connect
from app.store.leases import LONGEST_PAUSE_SECONDS, LOOK_SECONDS, SILENCE_SECONDS, LeaseWatch
from app.store.records.claims import Answered, Attempt, Keep, Pending, Unknown, Won
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord
from app.store.watcher import WATCH_UP_SECONDS
from tests.support.clocks import PATIENCE
from tests.support.handles import handle_record

OFFER, OTHER_OFFER = "ab" * 32, "cd" * 32
FAMILIES = (Family.REALTIME,)
LOOKS = round(SILENCE_SECONDS / LOOK_SECONDS)


class Time:
    """A monotonic clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def other(connection: StoreConnection) -> AsyncIterator[StoreConnection]:
    """The connection of another process."""
    made = StoreConnection(connection._client, replica="other", timeout=PATIENCE)
    yield made
    await made.release()


async def looks(watch: LeaseWatch, time: Time, *, seconds: float) -> bool:
    """Look for so long, and return whether the lease was found ended at any look."""
    found = False
    for _ in range(round(seconds / LOOK_SECONDS)):
        time.now += LOOK_SECONDS
        found = await watch.ended() or found
    return found


async def test_a_process_that_renews_lives_and_one_that_stops_is_found_dead_after_a_silence(
    connection: StoreConnection, other: StoreConnection, time: Time
) -> None:
    watch = LeaseWatch(connection, other.process, monotonic=time)
    for _ in range(8):
        assert await other.probe()
        assert not await looks(watch, time, seconds=WATCH_UP_SECONDS)
    assert await other.probe()
    assert not await looks(watch, time, seconds=SILENCE_SECONDS - LOOK_SECONDS)
    assert await looks(watch, time, seconds=LOOK_SECONDS * 3)


async def test_a_lease_lasts_ten_seconds_and_belongs_to_one_process_of_a_replica(
    connection: StoreConnection, other: StoreConnection, time: Time
) -> None:
    again = StoreConnection(connection._client, replica="other", timeout=PATIENCE)
    assert again.process != other.process
    assert again.process.startswith("other.")
    assert await other.probe()
    assert 0 < await connection._client.driver.client.pttl(keys.lease(other.process)) <= 10_000
    watch = LeaseWatch(connection, other.process, monotonic=time)
    await watch.ended()
    ended = []
    for _ in range(LOOKS + 2):
        assert await again.probe()
        ended.append(await looks(watch, time, seconds=LOOK_SECONDS))
    assert any(ended), "a process that was started again kept the old one's lease alive"
    await again.release()


async def test_a_pause_between_two_looks_gives_the_process_a_whole_silence_again(
    connection: StoreConnection, other: StoreConnection, time: Time
) -> None:
    assert await other.probe()
    watch = LeaseWatch(connection, other.process, monotonic=time)
    assert not await looks(watch, time, seconds=SILENCE_SECONDS - LOOK_SECONDS)
    time.now += LONGEST_PAUSE_SECONDS + SILENCE_SECONDS
    assert not await watch.ended()
    assert not await looks(watch, time, seconds=SILENCE_SECONDS - LOOK_SECONDS)
    assert await looks(watch, time, seconds=LOOK_SECONDS * 3)


async def test_an_unknown_process_and_this_one_are_never_found_dead(
    connection: StoreConnection, time: Time
) -> None:
    for holder in ("", connection.process):
        watch = LeaseWatch(connection, holder, monotonic=time)
        assert not await looks(watch, time, seconds=SILENCE_SECONDS * 3)


async def test_a_store_that_was_away_gives_the_process_a_whole_silence_again(time: Time) -> None:
    with LocalEngine() as own:
        client = connect(parse_address(own.url), replica="test", timeout=PATIENCE, max_connections=8)
        connection = StoreConnection(client, replica="test", timeout=PATIENCE)
        watch = LeaseWatch(connection, "replica-a.0123456789ab", monotonic=time)
        assert not await looks(watch, time, seconds=SILENCE_SECONDS - LOOK_SECONDS)
        own.stop()
        assert not await looks(watch, time, seconds=SILENCE_SECONDS * 2)
        own.start()
        assert not await looks(watch, time, seconds=SILENCE_SECONDS - LOOK_SECONDS)
        assert connection.up, "a look that failed marked the store as down"
        assert await looks(watch, time, seconds=LOOK_SECONDS * 3)
        await connection.close()


# --- the claim of a process that died -----------------------------------------------------------------


@pytest.fixture
def dead(other: StoreConnection) -> HandleStore:
    return HandleStore(other, replica="other")


@pytest.fixture
def store(connection: StoreConnection) -> HandleStore:
    return HandleStore(connection, replica="test")


async def claimed(store: HandleStore, handle_id: str, *, pending: float = 30) -> Attempt:
    """Save a handle of one call, and claim it."""
    record = handle_record(handle_id, max_calls=1)
    await store.save(record, life=600)
    attempt = store.attempt(handle_id, OFFER)
    assert isinstance(await claim(store, attempt, pending=pending), Won)
    return attempt


async def claim(store: HandleStore, attempt: Attempt, *, pending: float = 30) -> object:
    return await store.claim(attempt, families=FAMILIES, pending=pending, now=1_100)


async def abandon(store: HandleStore, attempt: Attempt) -> bool:
    return await store.abandon(attempt, window=10, code="outcome_unknown", now=1_101)


async def test_a_claim_says_who_holds_it_and_becomes_unknown_once_with_its_use_spent(
    store: HandleStore, dead: HandleStore, other: StoreConnection, connection: StoreConnection, handle_id: str
) -> None:
    lost = await claimed(dead, handle_id)
    found = await claim(store, store.attempt(handle_id, OFFER))
    assert found == Pending(lost.nonce)
    assert found.holder == other.process
    assert [await abandon(store, lost), await abandon(store, lost)] == [True, False]
    assert isinstance(await claim(store, store.attempt(handle_id, OFFER)), Unknown)
    assert isinstance(await claim(dead, lost), Unknown), "a claim that is repeated too late sends nothing"
    client = connection._client.driver.client
    fields = await client.hmget(keys.handle(handle_id), "calls", "relays", "relay_1")
    assert fields == ["1", "1", "1101 outcome_unknown"]
    # As long as it would have been pending, though the window is shorter.
    assert 10_000 < await client.pttl(keys.claim(handle_id, OFFER)) <= 30_000


async def test_the_offer_stays_unknown_for_the_window_where_that_is_longer(
    store: HandleStore, dead: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    lost = await claimed(dead, handle_id, pending=5)
    assert await abandon(store, lost)
    assert 5_000 < await connection._client.driver.client.pttl(keys.claim(handle_id, OFFER)) <= 10_000


async def test_only_the_claim_that_was_seen_is_ended(
    store: HandleStore, dead: HandleStore, handle_id: str
) -> None:
    lost = await claimed(dead, handle_id)
    assert not await abandon(store, Attempt(handle_id, OFFER, "another-nonce"))
    assert not await abandon(store, Attempt(handle_id, OTHER_OFFER, lost.nonce))
    assert await claim(store, store.attempt(handle_id, OFFER)) == Pending(lost.nonce)


async def test_what_was_settled_in_between_stays(
    store: HandleStore, dead: HandleStore, handle_id: str
) -> None:
    answered = await claimed(dead, handle_id)
    await dead.settle(answered, "seal1.BBBB", None, keep=Keep(30, 60), now=1_100)
    assert not await abandon(store, answered)
    assert await claim(store, store.attempt(handle_id, OFFER)) == Answered("", "seal1.BBBB")

    released = await claimed(dead, handle_id + "-released")
    await dead.release(released, give_back=True, code="upstream_unreachable", now=1_100)
    assert not await abandon(store, released)
    assert isinstance(await claim(store, store.attempt(released.handle_id, OFFER)), Won)


async def test_a_process_that_lives_after_all_still_settles_its_claim(
    store: HandleStore, dead: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    late = await claimed(dead, handle_id)
    assert await abandon(store, late)
    call = CallRecord("rtc_" + handle_id, handle_id, "openai", "gpt-realtime-2.1", "shop", "", 1_102, "other")
    for _ in range(2):
        await dead.settle(late, "seal1.BBBB", call, keep=Keep(30, 60), now=1_102)
    assert await claim(store, store.attempt(handle_id, OFFER)) == Answered(call.id, "seal1.BBBB")
    client = connection._client.driver.client
    fields = await client.hmget(keys.handle(handle_id), "calls", "relays", "relay_1", "relay_2")
    assert fields == ["1", "2", "1101 outcome_unknown", f"1102 answered {call.id}"]
    assert await client.hget(keys.call(call.id), "handle") == handle_id


async def test_a_process_that_lives_after_all_still_gives_its_use_back_once(
    store: HandleStore, dead: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    late = await claimed(dead, handle_id)
    assert await abandon(store, late)
    for _ in range(2):
        await dead.release(late, give_back=True, code="upstream_unreachable", now=1_102)
    assert await connection._client.driver.client.hget(keys.handle(handle_id), "calls") == "0"
    assert isinstance(await claim(store, store.attempt(handle_id, OTHER_OFFER)), Won)


async def test_a_process_that_lives_after_all_still_notes_why_its_outcome_is_unknown(
    store: HandleStore, dead: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    late = await claimed(dead, handle_id)
    assert await abandon(store, late)
    await dead.mark_unknown(late, window=30, code="upstream_timeout", now=1_102)
    assert isinstance(await claim(store, store.attempt(handle_id, OFFER)), Unknown)
    assert (
        await connection._client.driver.client.hget(keys.handle(handle_id), "relay_2")
        == "1102 upstream_timeout"
    )


async def test_a_claim_of_the_release_before_names_no_holder(store: HandleStore, handle_id: str) -> None:
    await claimed(store, handle_id)
    old = Attempt(handle_id, OTHER_OFFER, "k3Jd9-_x2LmQ")
    await store._connection._client.driver.client.hset(keys.handle(handle_id), "max_calls", 2)
    assert isinstance(await claim(store, old), Won)
    found = await claim(store, store.attempt(handle_id, OTHER_OFFER))
    assert found == Pending(old.nonce)
    assert isinstance(found, Pending)
    assert found.holder == ""
