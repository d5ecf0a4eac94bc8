"""What security events leave in the store, of every kind: the webhook's queue, and the notes on records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.listing.directory import HandleDirectory
from app.store.records.handles import HandleStore
from app.store.records.notices import KEPT_SECONDS, Notices
from app.store.records.suspicions import Suspicion, Suspicions
from tests.support.clocks import eventually
from tests.support.handles import handle_record

LONG = 600.0


@pytest.fixture
async def notices(connection: StoreConnection) -> AsyncIterator[Notices]:
    """An empty queue with room for four."""
    await connection.run_together(("DEL", keys.notices()))
    yield Notices(connection, most=4)
    await connection.run_together(("DEL", keys.notices()))


async def test_the_queue_takes_as_many_as_it_may_and_says_how_many_it_did_not(notices: Notices) -> None:
    assert await notices.put(["a", "b", "c"]) == 0
    # A repeat after a lost reply adds nothing, and needs no room.
    assert await notices.put(["a", "b", "c", "d"]) == 0
    assert await notices.put(["a", "e", "f"]) == 2
    assert sorted(await notices.take(hold=LONG, at_most=10)) == ["a", "b", "c", "d"]
    await notices.remove("a")
    assert await notices.put(["e"]) == 0


async def test_a_message_that_is_held_is_taken_by_no_one_else_until_the_hold_is_over(
    notices: Notices,
) -> None:
    await notices.put(["a", "b"])
    (first,) = await notices.take(hold=0.2, at_most=1)
    (second,) = await notices.take(hold=LONG, at_most=5)
    assert {first, second} == {"a", "b"}

    async def again() -> bool:
        return await notices.take(hold=LONG, at_most=5) == [first]

    # As after the death of the replica that took it.
    await eventually(again)


async def test_a_message_that_was_not_taken_comes_later_and_one_that_was_never_again(
    notices: Notices,
) -> None:
    await notices.put(["a", "b"])
    await notices.take(hold=LONG, at_most=5)
    await notices.remove("a")
    await notices.postpone("a", seconds=0)
    await notices.postpone("b", seconds=0)

    async def taken() -> bool:
        return await notices.take(hold=LONG, at_most=5) == ["b"]

    await eventually(taken)


async def test_many_takers_at_once_never_take_the_same(notices: Notices) -> None:
    await notices.put(["a", "b", "c", "d"])
    taken = await asyncio.gather(*(notices.take(hold=LONG, at_most=1) for _ in range(8)))
    assert sorted(message for several in taken for message in several) == ["a", "b", "c", "d"]


async def test_the_queue_has_an_expiry_and_keeps_it_while_messages_are_held(
    notices: Notices, connection: StoreConnection
) -> None:
    await notices.put(["a"])
    await notices.take(hold=LONG, at_most=1)
    await notices.postpone("a", seconds=1)
    (life,) = await connection.run_together(("PTTL", keys.notices()))
    assert KEPT_SECONDS * 1000 < life <= 2 * KEPT_SECONDS * 1000


async def test_suspicions_add_up_on_the_record_and_keep_its_expiry(
    connection: StoreConnection, handle_id: str
) -> None:
    store, suspicions = HandleStore(connection, replica="test"), Suspicions(connection)
    await store.save(handle_record(handle_id), life=LONG)
    await suspicions.note(
        [Suspicion(handle_id, "wrong_origin", 1_000, 2), Suspicion(handle_id, "wrong_certificate", 1_001)]
    )
    view = await HandleDirectory(connection).get(handle_id)
    assert view is not None
    assert (view.suspicions, view.suspected_at, view.suspicion) == (3, 1_001, "wrong_certificate")
    assert 0 < view.life <= LONG


async def test_a_record_that_is_gone_stays_gone(connection: StoreConnection, handle_id: str) -> None:
    await Suspicions(connection).note([Suspicion(handle_id, "wrong_origin", 1_000)])
    (there,) = await connection.run_together(("HMGET", keys.handle(handle_id), "suspicions"))
    assert there == [None]
