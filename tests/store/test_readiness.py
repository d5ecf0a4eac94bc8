"""Whether the store takes writes, as readiness asks: a flood is a few writes, and a refusal is seen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import connect
from tests.support.clocks import PATIENCE, eventually
from tests.support.onlooker import onlooker

ASKING = 300


async def writes(connection: StoreConnection) -> int:
    """How many probes the store has had: each writes its number."""
    (renewals,) = await connection.run_together(("GET", keys.lease(connection.process)))
    return int(renewals)


@pytest.mark.parametrize(("fresh", "most"), [(3600.0, 1), (0.0, 3)])
async def test_a_flood_of_questions_is_a_few_writes(
    connection: StoreConnection, fresh: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks at once shares one, and one write counts for a while. A Cluster's node is known after one."""
    monkeypatch.setattr("app.store.watcher.FRESH_SECONDS", fresh)
    before = await writes(connection)
    for _ in range(3):
        assert all(await asyncio.gather(*(connection.probe(at_once=False) for _ in range(ASKING))))
    assert await writes(connection) - before <= most


@pytest.fixture
async def own() -> AsyncIterator[tuple[StoreConnection, LocalEngine]]:
    """A server that a test may break, and a connection that nothing watches."""
    with LocalEngine() as engine:
        client = connect(parse_address(engine.url), replica="test", timeout=PATIENCE, max_connections=8)
        connection = StoreConnection(client, replica="test", timeout=PATIENCE)
        assert await connection.probe()
        yield connection, engine
        await connection.close()


async def test_who_asks_while_a_probe_is_under_way_waits_for_that_one(
    own: tuple[StoreConnection, LocalEngine],
) -> None:
    connection, engine = own
    before = await writes(connection)
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        asking = [asyncio.create_task(connection.probe(at_once=False)) for _ in range(ASKING)]
        leaving = asyncio.create_task(connection.probe(at_once=False))
        await asyncio.sleep(0)
        # The first one may leave, and the others have their answer.
        asking.pop(0).cancel()
        leaving.cancel()
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    assert all(await asyncio.gather(*asking))
    assert await writes(connection) - before <= 1


async def test_a_store_that_refuses_writes_is_found_out_and_one_that_takes_them_again_too(
    own: tuple[StoreConnection, LocalEngine],
) -> None:
    connection, engine = own
    assert await connection.probe(at_once=False)
    with onlooker(engine.url) as store:
        store.config_set("maxmemory-policy", "noeviction")
        store.config_set("maxmemory", "1")

        async def found_out() -> bool:
            return not await connection.probe(at_once=False)

        await eventually(found_out)
        store.config_set("maxmemory", "0")
    await eventually(connection.probe)
