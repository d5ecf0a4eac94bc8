"""A take that waits for a replica of the store: a failover hands no key out a second time."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

import pytest

from app.errors import StoreNotReplicated
from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution import Acknowledgement
from app.store.execution.driver import connect
from app.store.pools import PoolEntry, PoolStore, PoolWish
from app.store.replication import Replication
from tests.support.clocks import PATIENCE, until
from tests.support.cluster import command, follows
from tests.support.failover import cut_off

SHAPE: Final = "k1.0123456789abcdefghijkl"
LONG: Final = 600.0
# Where the replica is waited for in vain.
SHORT_SECONDS: Final = 0.3
Pools = Callable[[float], PoolStore]
_serial = itertools.count()


@pytest.fixture
async def pools(pair: tuple[LocalEngine, LocalEngine]) -> AsyncIterator[Pools]:
    """Stores whose takes wait so many seconds for the replica."""
    until(lambda: follows(pair[1]), "a replica that follows")
    async with AsyncExitStack() as resources:

        def make(seconds: float) -> PoolStore:
            address = parse_address(pair[0].url)
            client = connect(address, replica="waits", timeout=PATIENCE, max_connections=4)
            connection = StoreConnection(client, replica="waits", timeout=PATIENCE)
            resources.push_async_callback(connection.close)
            replication = Replication(connection, Acknowledgement(1, seconds), timeout=PATIENCE)
            resources.push_async_callback(replication.close)
            return PoolStore(connection, replication=replication)

        yield make


@pytest.fixture
def model() -> str:
    return f"voice-{os.getpid()}-{next(_serial)}"


async def fill(pool: PoolStore, model: str, number: int) -> None:
    await pool.take(model, SHAPE, serves=LONG)
    marks = await pool.reserve(model, PoolWish(SHAPE, number, number, number, LONG))
    for mark in marks.ids:
        entry = PoolEntry(mark, "main", marks.now + 600_000, f"k1.{mark}")
        assert await pool.put(model, SHAPE, entry, good_until=marks.now + 300_000)


async def test_what_was_taken_is_gone_at_the_replica_too(
    pools: Pools, pair: tuple[LocalEngine, LocalEngine], model: str
) -> None:
    pool, stock = pools(PATIENCE), keys.pool(model)[0]
    await fill(pool, model, 20)
    for left in reversed(range(20)):
        took = await pool.take(model, SHAPE, serves=LONG)
        assert took.entry is not None
        assert command(pair[1], "ZCARD", stock) == left


async def test_a_key_whose_taking_no_replica_has_is_given_to_no_one(
    pools: Pools, pair: tuple[LocalEngine, LocalEngine], model: str
) -> None:
    patient, hasty = pools(PATIENCE), pools(SHORT_SECONDS)
    await fill(patient, model, 1)
    with cut_off(*pair), pytest.raises(StoreNotReplicated):
        await hasty.take(model, SHAPE, serves=LONG)
    assert (await patient.take(model, SHAPE, serves=LONG)).entry is None
