"""What replicas tell of their keys, in every kind of store: all hear it, and the keys are remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.replicas import Replicas
from tests.support.clocks import PATIENCE


def raw(connection: StoreConnection) -> Any:
    """The driver's own client."""
    return connection._client.driver.client


@pytest.fixture
async def replicas(connection: StoreConnection) -> Replicas:
    await raw(connection).delete(keys.replicas(), keys.ring_keys())
    return Replicas(connection)


@pytest.fixture
async def other(connection: StoreConnection) -> AsyncIterator[Replicas]:
    """The replicas as another process sees them, over the same client."""
    made = StoreConnection(connection._client, replica="other", timeout=PATIENCE)
    yield Replicas(made)
    await made.release()


async def told_before(connection: StoreConnection, key: str, name: str, change: str) -> None:
    """Make what was told look as if it had been told earlier, at ``change``."""
    client, value = raw(connection), await raw(connection).hget(key, name)
    assert value is not None
    await client.hset(key, name, change)


async def test_each_process_tells_and_all_hear(replicas: Replicas, other: Replicas) -> None:
    await replicas.tell({"replica": "a", "text": "ä|b"}, {"signing k1 f1": True, "signing k2 f2": False})
    await other.tell({"replica": "b"}, {"signing k1 f1": True})
    for each in (replicas, other):
        found = await each.all()
        told = sorted(found.documents, key=lambda document: str(document["replica"]))
        assert told == [{"replica": "a", "text": "ä|b"}, {"replica": "b"}]
        assert found.memory["signing k1 f1"].first_ago is not None
        assert found.memory["signing k2 f2"].first_ago is None


async def test_a_process_tells_anew_in_place_of_before(replicas: Replicas) -> None:
    await replicas.tell({"turn": 1}, {})
    await replicas.tell({"turn": 2}, {})
    assert (await replicas.all()).documents == [{"turn": 2}]


async def test_one_that_ends_is_gone_and_its_keys_are_remembered(replicas: Replicas) -> None:
    await replicas.tell({"replica": "a"}, {"signing k1 f1": True})
    await replicas.end()
    await replicas.end()
    found = await replicas.all()
    assert found.documents == []
    assert set(found.memory) == {"signing k1 f1"}


async def test_one_that_says_nothing_more_does_not_count(
    replicas: Replicas, other: Replicas, connection: StoreConnection
) -> None:
    await replicas.tell({"replica": "a"}, {})
    await other.tell({"replica": "b"}, {})
    await told_before(connection, keys.replicas(), connection.process, '1000|{"replica":"a"}')
    assert (await replicas.all()).documents == [{"replica": "b"}]


async def test_since_when_there_is_a_key_and_when_it_was_first_stays_known(
    replicas: Replicas, connection: StoreConnection
) -> None:
    name = "signing k1 f1"
    await replicas.tell({}, {name: True})
    seen, first, last = (int(text) for text in (await raw(connection).hget(keys.ring_keys(), name)).split())
    assert seen == first == last
    await told_before(connection, keys.ring_keys(), name, f"{seen - 90_000} {first - 60_000} {last - 60_000}")
    await replicas.tell({}, {name: False})
    memory = (await replicas.all()).memory[name]
    assert memory.first_ago is not None
    assert 60 <= memory.first_ago < memory.seen_ago
    assert memory.seen_ago >= 90


async def test_a_key_that_nobody_has_for_long_is_forgotten(
    replicas: Replicas, connection: StoreConnection
) -> None:
    await replicas.tell({}, {"signing k1 f1": True})
    await told_before(connection, keys.ring_keys(), "signing k1 f1", "1000 1000 1000")
    assert (await replicas.all()).memory == {}


async def test_nothing_of_it_stays_for_ever(replicas: Replicas, connection: StoreConnection) -> None:
    await replicas.tell({}, {"signing k1 f1": True})
    for key in (keys.replicas(), keys.ring_keys()):
        assert await raw(connection).pttl(key) > 0
