"""Whether the store takes writes, as readiness asks: a flood is a few writes, and a refusal is seen."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import connect
from app.store.watcher import FRESH_SECONDS
from tests.support.clocks import PATIENCE, eventually
from tests.support.onlooker import onlooker

ASKING = 300


async def writes(connection: StoreConnection) -> int:
    """How many probes the store has had: each writes its number."""
    (renewals,) = await connection.run_together(("GET", keys.lease(connection.process)))
    return int(renewals)


async def test_a_flood_of_questions_is_a_few_writes(connection: StoreConnection) -> None:
    before, began = await writes(connection), time.monotonic()
    for _ in range(3):
        answers = await asyncio.gather(*(connection.takes_writes() for _ in range(ASKING)))
        assert all(answers)
    lasted = time.monotonic() - began
    # The busier the machine, the longer it lasts, and the more may be written.
    assert await writes(connection) - before <= lasted / FRESH_SECONDS + 1


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
        asking = [asyncio.create_task(connection.takes_writes()) for _ in range(ASKING)]
        leaving = asyncio.create_task(connection.takes_writes())
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
    assert await connection.takes_writes()
    with onlooker(engine.url) as store:
        store.config_set("maxmemory-policy", "noeviction")
        store.config_set("maxmemory", "1")

        async def found_out() -> bool:
            return not await connection.takes_writes()

        await eventually(found_out)
        store.config_set("maxmemory", "0")
    await eventually(connection.takes_writes)
