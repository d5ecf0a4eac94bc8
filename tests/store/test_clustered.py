"""Commands straight to the primaries of a real Cluster, also while it changes under them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import pytest

from app.errors import StoreUnavailable
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.errors import ResponseError
from app.store.execution import Command, executor_for
from app.store.execution.cluster import Cluster
from app.store.execution.driver import connect
from app.store.redis_py import Pooled
from tests.support.clocks import PATIENCE, eventually, until
from tests.support.cluster import RealCluster, command, real_cluster

SPREAD = [f"cloakroom:test:{{{number}}}" for number in range(8)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with real_cluster() as running:
        yield running


class Detours(Pooled):
    """The driver's pool, and what went through it."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, max_connections=8)
        self.commands: list[Command] = []

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        self.commands += commands
        return await super().run(commands, timeout=timeout)


class Ways:
    """An executor, and what had to go the driver's way."""

    def __init__(self, url: str) -> None:
        self.client: Any = connect(
            parse_address(url), replica="straight", timeout=PATIENCE, max_connections=8
        )
        self.executor = cast(Cluster, executor_for(self.client, max_connections=8))
        self._detours = self.executor._otherwise = Detours(self.client.driver.client)

    @property
    def detours(self) -> list[Command]:
        return self._detours.commands

    async def close(self) -> None:
        await self.executor.close()
        await self.client.close()


@pytest.fixture
async def ways(cluster: RealCluster) -> AsyncIterator[Ways]:
    made = Ways(cluster.url)
    yield made
    await made.close()


async def test_commands_of_many_nodes_are_one_round_trip_over_a_connection_to_each(
    ways: Ways, cluster: RealCluster
) -> None:
    writes = [("SET", name, number) for number, name in enumerate(SPREAD)]
    together = await asyncio.gather(*(ways.executor.run(writes, timeout=PATIENCE) for _ in range(50)))
    assert together == [["OK"] * 8] * 50
    reads = [("HMGET", SPREAD[1], "x"), *(("PTTL", name) for name in SPREAD[:3]), ("EXISTS", SPREAD[7])]
    (refused, *others) = await ways.executor.run(reads, timeout=PATIENCE)
    assert isinstance(refused, ResponseError), "of the wrong type, which says nothing of the others"
    assert others == [-1, -1, -1, 1]
    assert ways.detours == []
    assert len({cluster.owner(name).port for name in SPREAD}) == 3
    for node in cluster.primaries:
        listed = command(node, "CLIENT", "LIST")
        assert sum("name=cloakroom-straight" in str(line) for line in listed) <= 2, "ours, and the driver's"


async def test_long_batches_and_commands_without_a_key_go_the_drivers_way(ways: Ways) -> None:
    assert await ways.executor.run([("PUBLISH", "somewhere", "x")], timeout=PATIENCE) == [0]
    assert await ways.executor.run([("PTTL", f"none:{at}") for at in range(9)], timeout=PATIENCE) == [-2] * 9
    assert len(ways.detours) == 10


async def test_a_slot_that_moves_is_followed_and_found_straight_again(
    ways: Ways, cluster: RealCluster
) -> None:
    name = SPREAD[3]
    await ways.executor.run([("SET", name, "kept")], timeout=PATIENCE)
    to = next(node for node in cluster.primaries if node is not cluster.owner(name))
    cluster.begin_to_move(name, to)
    three = [("EXISTS", name), ("EXISTS", SPREAD[4]), ("EXISTS", name)]
    await ways.executor.run([("SET", SPREAD[4], 1)], timeout=PATIENCE)
    before = ways.executor.node_of(three[0])
    assert await ways.executor.run(three, timeout=PATIENCE) == [1, 1, 1], "each with its leave to ask"
    assert ways.executor.node_of(three[0]) == before, "the slot has not moved yet"
    cluster.end_the_move(name, to)
    assert await ways.executor.run(three, timeout=PATIENCE) == [1, 1, 1]
    assert ways.executor.node_of(three[0]) == f"127.0.0.1:{to.port}"
    assert ways.detours == []


async def test_a_lost_connection_costs_nothing_but_a_detour(ways: Ways, cluster: RealCluster) -> None:
    await ways.executor.run([("PTTL", name) for name in SPREAD], timeout=PATIENCE)
    for node in cluster.primaries:
        command(node, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.1)
    assert await ways.executor.run([("SET", name, 2) for name in SPREAD], timeout=PATIENCE) == ["OK"] * 8
    assert await ways.executor.run([("PTTL", name) for name in SPREAD], timeout=PATIENCE) == [-1] * 8


async def test_a_silent_node_fails_its_commands_in_time_and_no_others(
    ways: Ways, cluster: RealCluster
) -> None:
    silent = cluster.owner(SPREAD[0])
    other = next(name for name in SPREAD if cluster.owner(name) is not silent)
    await ways.executor.run([("PTTL", name) for name in SPREAD], timeout=PATIENCE)
    os.kill(silent.pid, signal.SIGSTOP)
    try:
        well, lost = await ways.executor.run([("SET", other, 3), ("SET", SPREAD[0], 3)], timeout=0.3)
        assert well == "OK"
        assert isinstance(lost, TimeoutError)
        assert await ways.executor.run([("EXISTS", other)], timeout=PATIENCE) == [1]
    finally:
        os.kill(silent.pid, signal.SIGCONT)
    until(lambda: "cluster_state:ok" in str(command(cluster.primaries[0], "CLUSTER", "INFO")), "well again")
    assert await ways.executor.run([("EXISTS", SPREAD[0])], timeout=PATIENCE) == [1]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "silent"])
async def test_when_a_primary_ends_its_replica_takes_over_and_is_found(end: signal.Signals) -> None:
    with real_cluster(with_replica=True) as cluster:
        first, heir = cluster.primaries[0], cluster.replica
        assert heir is not None
        name = next(name for name in SPREAD if cluster.owner(name) is first)
        client = connect(parse_address(cluster.url), replica="heir", timeout=2.0, max_connections=8)
        connection = StoreConnection(client, replica="heir", timeout=2.0)
        connection.start()

        async def answer_to(*asked: str) -> list[Any]:
            """As a caller gets it that tries again after a 503."""

            async def answer() -> list[Any]:
                with contextlib.suppress(StoreUnavailable):
                    return await connection.run_together(asked)
                return []

            return await eventually(answer)

        try:
            await answer_to("SET", name, "kept")
            assert await answer_to("EXISTS", name) == [1]
            until(lambda: command(first, "WAIT", 1, 2000) == 1, "the replica has it")
            os.kill(first.pid, end)
            assert await answer_to("EXISTS", name) == [1], "what was acknowledged is there"
            assert command(heir, "INFO", "replication")["role"] == "master"
            await answer_to("SET", name, "again")
            assert command(heir, "GET", name) == "again"
        finally:
            os.kill(first.pid, signal.SIGCONT) if end is signal.SIGSTOP else None
            await connection.close()
