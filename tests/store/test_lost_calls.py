"""An answer that comes after its caller was told that the outcome is not known, in every kind of store."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.claims import Answered, Attempt, Keep, Unknown
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, HandleRecord
from tests.unit.values import NOW

OFFER = "cd" * 32
WINDOW = 60.0
CODE = "outcome_unknown"


@pytest.fixture(params=[True, False], ids=["final", "not final"])
def final(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def store(connection: StoreConnection, handle_id: str, final: bool) -> HandleStore:
    """A store with one handle."""
    made = HandleStore(connection, replica="replica-a", unknown_is_final=final)
    record = HandleRecord(
        id=handle_id,
        model="gpt-realtime",
        deployment="openai",
        provider="openai",
        family=Family.REALTIME.value,
        client="shop",
        subject="",
        origin="",
        minted_at=int(NOW),
        expires_at=int(NOW) + 600,
        minted_by="replica-a",
        max_calls=2,
        sealed_key="seal1.AAAA",
    )
    await made.save(record, life=600)
    return made


async def claim(store: HandleStore, attempt: Attempt) -> Any:
    return await store.claim(attempt, families=(Family.REALTIME,), pending=WINDOW, now=NOW)


async def settle(store: HandleStore, attempt: Attempt, call: CallRecord | None) -> bool:
    return await store.settle(attempt, "seal1.BBBB", call, keep=Keep(WINDOW, 7200), now=NOW)


def call_of(handle_id: str) -> CallRecord:
    return CallRecord(f"rtc_{handle_id}", handle_id, "openai", "gpt-realtime", "shop", "", int(NOW), "a")


async def story(connection: StoreConnection, handle_id: str) -> list[str]:
    """The outcomes of the handle's relays, in turn."""
    client: Any = connection._client.driver.client
    record = await client.hgetall(keys.handle(handle_id))
    return [record[f"relay_{n}"].partition(" ")[2] for n in range(1, int(record.get("relays", 0)) + 1)]


async def test_the_answer_counts_unless_an_unknown_outcome_is_final(
    store: HandleStore, connection: StoreConnection, handle_id: str, final: bool
) -> None:
    late, again, call = Attempt(handle_id, OFFER, "n1"), Attempt(handle_id, OFFER, "n2"), call_of(handle_id)
    await claim(store, late)
    assert await store.abandon(late, window=WINDOW, code=CODE, now=NOW)
    assert isinstance(await claim(store, again), Unknown)
    # A write whose reply was lost is repeated.
    for _ in range(3):
        assert await settle(store, late, call) is not final
    kept = await claim(store, again)
    assert isinstance(kept, Unknown) if final else kept == Answered(call.id, "seal1.BBBB")
    told = f"{CODE} {call.id}" if final else f"answered {call.id}"
    assert await story(connection, handle_id) == [CODE, told]
    client: Any = connection._client.driver.client
    assert await client.hget(keys.call(call.id), "handle") == handle_id, "it can be hung up"


async def test_an_answer_that_nobody_was_told_is_unknown_counts_in_either_case(
    store: HandleStore, handle_id: str
) -> None:
    attempt, again = Attempt(handle_id, OFFER, "n1"), Attempt(handle_id, OFFER, "n2")
    await claim(store, attempt)
    for _ in range(2):
        assert await settle(store, attempt, call_of(handle_id))
    assert isinstance(await claim(store, again), Answered)


async def test_an_answer_to_an_offer_that_another_relay_has_taken_over_does_not_count_where_that_is_final(
    store: HandleStore, connection: StoreConnection, handle_id: str, final: bool
) -> None:
    late, other = Attempt(handle_id, OFFER, "n1"), Attempt(handle_id, OFFER, "n2")
    await claim(store, late)
    client: Any = connection._client.driver.client
    await client.delete(late.keys[1])  # it ran out while its replica stood still
    await claim(store, other)
    assert await settle(store, late, call_of(handle_id)) is not final


async def test_a_call_of_which_only_the_id_is_known_is_registered_and_told_once(
    store: HandleStore, connection: StoreConnection, handle_id: str
) -> None:
    attempt, call = Attempt(handle_id, OFFER, "n1"), call_of(handle_id)
    await claim(store, attempt)
    await store.mark_unknown(attempt, window=WINDOW, code="upstream_timeout", now=NOW)
    for _ in range(3):
        await store.mark_unknown(attempt, window=WINDOW, code=CODE, now=NOW, call=call, retention=7200)
    assert await story(connection, handle_id) == ["upstream_timeout", f"{CODE} {call.id}"]
    assert isinstance(await claim(store, Attempt(handle_id, OFFER, "n2")), Unknown)
    client: Any = connection._client.driver.client
    assert await client.hget(keys.call(call.id), "deployment") == "openai"
    assert await client.pttl(keys.call(call.id)) > 0
