"""The same store code against a real server, a real Cluster, a real Sentinel, and ``memory://``."""

from __future__ import annotations

import pytest

from app.models import Family
from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import connect
from app.store.records.bearers import NO_CERTIFICATE, NO_ORIGIN
from app.store.records.claims import (
    Answered,
    Attempt,
    Gone,
    Keep,
    OtherFamily,
    Pending,
    Spent,
    Unknown,
    Whose,
    Won,
)
from app.store.records.handles import HandleStore
from app.store.records.minting import Minting
from app.store.records.record import CallRecord, HandleRecord
from tests.support.clocks import PATIENCE
from tests.support.handles import handle_record

OFFER = "ab" * 32
OTHER_OFFER = "cd" * 32
# Of the handle, as a claim without an origin and a certificate leaves it.
OWNER = Whose("shop", "user-7", "gpt-realtime-2.1", NO_ORIGIN, NO_CERTIFICATE)


@pytest.fixture
def store(connection: StoreConnection) -> HandleStore:
    return HandleStore(connection, replica="replica-b")


def record(handle_id: str, *, max_calls: int = 0) -> HandleRecord:
    return handle_record(handle_id, subject="user-7", max_calls=max_calls)


async def claim(store: HandleStore, handle_id: str, offer: str = OFFER, nonce: str = "n1") -> object:
    attempt = Attempt(handle_id, offer, nonce)
    return await store.claim(
        attempt, families=(Family.REALTIME, Family.TRANSCRIPTION), pending=30, now=1_234.5
    )


async def test_a_record_is_stored_whole_with_its_expiry(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    await store.save(record(handle_id), life=600)
    client = connection._client.driver.client
    fields = await client.hgetall(keys.handle(handle_id))
    assert fields["model"] == "gpt-realtime-2.1"
    assert fields["calls"] == "0"
    assert "origin" not in fields
    assert 599_000 < await client.pttl(keys.handle(handle_id)) <= 600_000


async def test_a_claim_wins_once_and_the_same_nonce_wins_again(store: HandleStore, handle_id: str) -> None:
    await store.save(record(handle_id, max_calls=1), life=60)
    won = await claim(store, handle_id)
    # What the relay needs, and the use counted.
    names = ("openai", "gpt-realtime-2.1", "shop", "user-7")
    assert won == Won("seal1.AAAA", *names, "2000", 1, family="realtime", max_calls="1")
    assert await claim(store, handle_id) == won
    assert isinstance(await claim(store, handle_id, nonce="n2"), Pending)
    assert await claim(store, handle_id, OTHER_OFFER, "n3") == Spent(1, OWNER)


async def test_a_mint_that_is_repeated_late_gives_no_use_back_and_no_second_life(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    """Its first try was stuck, and arrives when the handle is in use. The drill ``races`` found it."""
    await store.save(record(handle_id, max_calls=1), life=60)
    assert isinstance(await claim(store, handle_id), Won)
    await connection._client.driver.client.hset(keys.handle(handle_id), "revoked_at", "1235")
    before = await connection._client.driver.client.hgetall(keys.handle(handle_id))
    await store.save(record(handle_id, max_calls=1), life=600)
    assert await connection._client.driver.client.hgetall(keys.handle(handle_id)) == before
    assert await connection._client.driver.client.pttl(keys.handle(handle_id)) <= 60_000


async def test_a_release_gives_the_use_back_only_to_its_owner(store: HandleStore, handle_id: str) -> None:
    await store.save(record(handle_id, max_calls=1), life=60)
    assert isinstance(await claim(store, handle_id), Won)
    await store.release(
        Attempt(handle_id, OFFER, "somebody-else"), give_back=True, code="upstream_error", now=1_235.0
    )
    assert isinstance(await claim(store, handle_id, OTHER_OFFER, "n2"), Spent)
    await store.release(Attempt(handle_id, OFFER, "n1"), give_back=True, code="upstream_error", now=1_235.0)
    await store.release(Attempt(handle_id, OFFER, "n1"), give_back=True, code="upstream_error", now=1_235.0)
    assert isinstance(await claim(store, handle_id, OTHER_OFFER, "n2"), Won)
    await store.release(
        Attempt(handle_id, OTHER_OFFER, "n2"), give_back=False, code="upstream_error", now=1_235.0
    )
    assert isinstance(await claim(store, handle_id, OFFER, "n3"), Spent)


async def test_a_settled_answer_is_replayed_and_its_call_registered_with_an_end(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    await store.save(record(handle_id), life=60)
    assert isinstance(await claim(store, handle_id), Won)
    call = CallRecord(
        "rtc_" + handle_id, handle_id, "openai", "gpt-realtime-2.1", "shop", "", 1_234, "replica-b"
    )
    for _ in range(2):
        await store.settle(
            Attempt(handle_id, OFFER, "n1"), "seal1.BBBB", call, keep=Keep(30, 7200), now=1_235.0
        )
    assert await claim(store, handle_id, nonce="n2") == Answered(call.id, "seal1.BBBB")
    client = connection._client.driver.client
    assert (await client.hgetall(keys.call(call.id)))["handle"] == handle_id
    assert 7_190_000 < await client.pttl(keys.call(call.id)) <= 7_200_000
    assert 29_000 < await client.pttl(keys.claim(handle_id, OFFER)) <= 30_000


async def test_an_unknown_outcome_stays_unknown(store: HandleStore, handle_id: str) -> None:
    await store.save(record(handle_id), life=60)
    await claim(store, handle_id)
    await store.mark_unknown(Attempt(handle_id, OFFER, "n1"), window=30, code="upstream_timeout", now=1_235.0)
    assert isinstance(await claim(store, handle_id, nonce="n2"), Unknown)


async def test_a_handle_that_is_gone_or_of_another_family_is_not_claimed(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    assert isinstance(await claim(store, handle_id), Gone)
    await store.save(record(handle_id), life=60)
    await connection._client.driver.client.hset(keys.handle(handle_id), "family", "translation")
    assert await claim(store, handle_id) == OtherFamily("translation")
    assert await connection._client.driver.client.hget(keys.handle(handle_id), "calls") == "0"


async def test_mints_of_a_client_are_counted_per_minute_and_forgotten(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    now = 60 * 1_000_000.0
    counts = [
        (await store.admit(Minting(handle_id), None, now=now + second)).count for second in (0, 1, 59, 60)
    ]
    assert counts == [1, 2, 3, 1]
    assert 0 < await connection._client.driver.client.pttl(keys.mint_limit(handle_id, 1_000_000)) <= 120_000


@pytest.mark.parametrize("stands_there", [True, False], ids=["a plain server", "nothing"])
async def test_a_cluster_that_is_none_counts_as_down_and_raises_nothing(
    stands_there: bool, engine: LocalEngine
) -> None:
    port = engine.port if stands_there else 1
    address = parse_address(f"redis+cluster://127.0.0.1:{port}")
    made = StoreConnection(
        connect(address, replica="test", timeout=PATIENCE, max_connections=8), replica="t", timeout=PATIENCE
    )
    assert not await made.probe()
    await made.close()


async def test_a_subjects_mints_count_for_it_and_those_beyond_its_limit_for_nobody(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    client, now = handle_id, 60 * 1_000_000.0
    greedy = Minting(client, "a" * 32, most=2)
    counts = [await store.admit(greedy, None, now=now) for _ in range(4)]
    assert [one.subject_count for one in counts] == [1, 2, 3, 4]
    assert [one.count for one in counts] == [1, 2, 0, 0]
    other = await store.admit(Minting(client, "b" * 32, most=2), None, now=now)
    assert (other.subject_count, other.count) == (1, 3), "what one user was refused, the others still have"
    later = await store.admit(greedy, None, now=now + 60)
    assert (later.subject_count, later.count) == (1, 1)
    assert (
        0
        < await connection._client.driver.client.pttl(keys.mint_limit(client, 1_000_000, "a" * 32))
        <= 120_000
    )
