"""The health of a Cluster is known by node: one that is silent or full costs what lies there, and no more."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from app.errors import StoreUnavailable
from app.handles.tokens import new_handle_id
from app.models import Family
from app.store import keys
from app.store.address import parse_address
from app.store.connection import LateWrites, StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import connect
from app.store.records.claims import Keep, Won
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, HandleRecord
from tests.support.clocks import PATIENCE, eventually
from tests.support.cluster import RealCluster, command, real_cluster
from tests.support.handles import handle_record

# The silence of a node that counts. The nodes that are well are never asked to be as fast.
SILENCE = 0.5
OFFER = "ab" * 32


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with real_cluster(arguments=("--cluster-require-full-coverage", "no")) as running:
        yield running


@pytest.fixture
async def connection(cluster: RealCluster) -> AsyncIterator[StoreConnection]:
    client = connect(parse_address(cluster.url), replica="test", timeout=SILENCE, max_connections=8)
    made = StoreConnection(client, replica="test", timeout=SILENCE, patience=PATIENCE)

    async def whole() -> bool:
        await made.probe()
        return len(made.nodes) == 3 and all(made.nodes.values())

    # After another test's node is back, the others need a moment to see that.
    await eventually(whole, lambda: f"not all nodes are up: {made.nodes}")
    made.start()
    yield made
    await made.close()


@pytest.fixture
def store(connection: StoreConnection) -> HandleStore:
    return HandleStore(connection, replica="test")


def name_of(node: LocalEngine) -> str:
    return f"127.0.0.1:{node.port}"


def handle_at(cluster: RealCluster, node: LocalEngine) -> str:
    """A new handle id whose record is the node's."""
    return next(made for made in iter(new_handle_id, "") if cluster.owner(keys.handle(made)) is node)


def record(handle_id: str) -> HandleRecord:
    return handle_record(handle_id, subject="user-7")


async def claim(store: HandleStore, handle_id: str) -> object:
    attempt = store.attempt(handle_id, OFFER)
    return await store.claim(attempt, families=(Family.REALTIME,), pending=30, now=1_234.5)


@contextmanager
def silent(node: LocalEngine) -> Iterator[None]:
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)


async def known(connection: StoreConnection, node: LocalEngine) -> None:
    await eventually(lambda: name_of(node) in connection.health.down, "its silence was not noticed")


async def well_again(connection: StoreConnection, node: LocalEngine) -> None:
    await eventually(lambda: name_of(node) not in connection.health.down, "it is not found again")


async def test_a_silent_node_fails_its_handles_at_once_and_the_others_are_served(
    store: HandleStore, connection: StoreConnection, cluster: RealCluster
) -> None:
    # The first one is asked which node has a key.
    well, sick, _ = cluster.primaries
    theirs, ours = handle_at(cluster, sick), handle_at(cluster, well)
    for handle_id in (theirs, ours):
        await store.save(record(handle_id), life=600)
    late: list[LateWrites] = []
    connection.later = late.append
    with silent(sick):
        await known(connection, sick)
        assert connection.nodes == {name_of(node): node is not sick for node in cluster.primaries}
        assert connection.up
        with pytest.raises(StoreUnavailable):
            store.require_up(theirs)
        store.require_up(ours)
        assert isinstance(await claim(store, ours), Won)
        # A new handle gets an id whose node is up, although its lists lie everywhere.
        for _ in range(20):
            placed = store.place(new_handle_id)
            assert cluster.owner(keys.handle(placed)) is not sick
            await store.save(record(placed), life=600)
        with pytest.raises(StoreUnavailable):
            await store.save(record(handle_at(cluster, sick)), life=600)
    await well_again(connection, sick)
    assert isinstance(await claim(store, theirs), Won)
    lists = [keys.handles(33), keys.client_handles("shop", 33), keys.model_handles("gpt-realtime", 33)]
    beside = [name for name in (*lists, keys.subject_handles("user-7", 33)) if cluster.owner(name) is sick]
    assert bool(late) is bool(beside)
    for writes in late:
        await writes()
        await writes()
    for name in beside:
        assert placed in command(sick, "LRANGE", name, 0, -1), "the index has it now"
        assert command(sick, "LRANGE", name, 0, -1).count(placed) == 1


async def test_an_answer_is_kept_where_the_calls_record_must_wait(
    store: HandleStore, connection: StoreConnection, cluster: RealCluster
) -> None:
    # The first one is asked which node has a key.
    well, sick, _ = cluster.primaries
    handle_id = handle_at(cluster, well)
    call_id = next(
        f"rtc_{number}" for number in range(10_000) if cluster.owner(keys.call(f"rtc_{number}")) is sick
    )
    await store.save(record(handle_id), life=600)
    attempt = store.attempt(handle_id, OFFER)
    assert isinstance(await store.claim(attempt, families=(Family.REALTIME,), pending=30, now=1_234.5), Won)
    late: list[LateWrites] = []
    connection.later = late.append
    call = CallRecord(call_id, handle_id, "openai", "gpt-realtime", "shop", "", 1_234, "test")
    with silent(sick):
        await known(connection, sick)
        await store.settle(attempt, "seal1.BBBB", call, keep=Keep(30, 7200), now=1_235)
        assert await connection.run_together(("EXISTS", keys.claim(handle_id, OFFER))) == [1]
        with pytest.raises(StoreUnavailable):
            await late[0]()

    await well_again(connection, sick)
    await late[0]()
    assert await connection.run_together(("EXISTS", keys.call(call_id))) == [1]


async def test_without_a_place_for_late_writes_their_failure_is_the_operations(
    store: HandleStore, connection: StoreConnection, cluster: RealCluster
) -> None:
    """As in the doctor's rehearsal, and for the command line."""
    sick = cluster.owner(keys.handles(33))
    well = next(node for node in cluster.primaries if node is not sick)
    handle_id = handle_at(cluster, well)
    with silent(sick):
        await known(connection, sick)
        with pytest.raises(StoreUnavailable):
            await store.save(record(handle_id), life=600)


async def test_a_silent_node_delays_no_probe_and_no_lease_at_the_others(
    connection: StoreConnection, cluster: RealCluster
) -> None:
    lease = keys.lease(connection.process)
    owner = cluster.owner(lease)
    sick = next(node for node in cluster.primaries if node is not owner)

    def renewals() -> int:
        return int(command(owner, "GET", lease) or 0)

    with silent(sick):
        await known(connection, sick)
        before = renewals()
        await eventually(lambda: renewals() > before + 1, "the lease is not renewed any more")
        assert connection.nodes[name_of(owner)]
    await well_again(connection, sick)


async def test_a_full_node_is_down_for_itself_until_it_takes_a_write(
    connection: StoreConnection, cluster: RealCluster
) -> None:
    full = cluster.primaries[2]
    key = handle_at(cluster, full)
    command(full, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    command(full, "CONFIG", "SET", "maxmemory", 1)
    try:
        await eventually(lambda: name_of(full) in connection.health.down, "that it is full was not noticed")
        with pytest.raises(StoreUnavailable):
            connection.require_up(keys.handle(key))
        assert connection.up
    finally:
        command(full, "CONFIG", "SET", "maxmemory", 0)
    await eventually(lambda: not connection.health.down, "it takes writes, and is not found again")
