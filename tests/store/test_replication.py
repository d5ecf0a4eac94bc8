"""Writes that wait for replicas: on a real primary with a real replica, and on a real Cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.errors import StoreNotReplicated, StoreUnavailable
from app.models import Family
from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.errors import ReadOnlyError
from app.store.execution import Acknowledgement
from app.store.execution.driver import connect
from app.store.records.bearers import NO_CERTIFICATE, NO_ORIGIN
from app.store.records.claims import Attempt, Claim, Gone, Spent, Whose, Won
from app.store.records.handles import HandleStore
from app.store.records.record import HandleRecord
from app.store.replication import Replication
from tests.support.clocks import PATIENCE, eventually, until
from tests.support.cluster import RealCluster, command, follows, real_cluster
from tests.support.failover import COPY_AT_ONCE, cut_off
from tests.support.handles import handle_record
from tests.support.onlooker import onlooker

OFFER, OTHER_OFFER = "ab" * 32, "cd" * 32
# Of the handle, as a claim without an origin and a certificate leaves it.
OWNER = Whose("shop", "", "gpt-realtime-2.1", NO_ORIGIN, NO_CERTIFICATE)
# Where replicas are waited for in vain.
SHORT_SECONDS = 0.3


@dataclass
class Waiting:
    """A store whose writes wait for one replica, as a replica of ours has it."""

    connection: StoreConnection
    replication: Replication
    handles: HandleStore

    async def close(self) -> None:
        await self.replication.close()
        await self.connection.close()


def waiting(url: str, *, replicas: int = 1, seconds: float = PATIENCE) -> Waiting:
    client = connect(parse_address(url), replica="waits", timeout=PATIENCE, max_connections=4)
    connection = StoreConnection(client, replica="waits", timeout=PATIENCE)
    replication = Replication(connection, Acknowledgement(replicas, seconds), timeout=PATIENCE)
    return Waiting(connection, replication, HandleStore(connection, replica="b", replication=replication))


@pytest.fixture
async def store(pair: tuple[LocalEngine, LocalEngine]) -> AsyncIterator[Waiting]:
    until(lambda: follows(pair[1]), "a replica that follows")
    made = waiting(pair[0].url)
    yield made
    await made.close()


@pytest.fixture
async def hasty(pair: tuple[LocalEngine, LocalEngine]) -> AsyncIterator[Waiting]:
    """The same for tests in which no replica acknowledges."""
    made = waiting(pair[0].url, seconds=SHORT_SECONDS)
    yield made
    await made.close()


def record(handle_id: str, *, max_calls: int = 1) -> HandleRecord:
    return handle_record(handle_id, max_calls=max_calls)


async def claim(store: Waiting, attempt: Attempt) -> Claim:
    return await store.handles.claim(attempt, families=tuple(Family), pending=30, now=1_234.5)


async def give_back(store: Waiting, attempt: Attempt) -> None:
    await store.handles.release(attempt, give_back=True, code="store_not_replicated", now=1_235.0)


def stands_on(node: LocalEngine, handle_id: str) -> bool:
    return bool(command(node, "EXISTS", keys.handle(handle_id)))


async def test_a_handle_that_was_saved_and_a_use_that_was_won_are_on_the_replica(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    for number in range(20):
        name = f"{handle_id}-{number}"
        await store.handles.save(record(name), life=60)
        assert stands_on(pair[1], name)
        assert isinstance(await claim(store, Attempt(name, OFFER, "n1")), Won)
        assert command(pair[1], "HGET", keys.handle(name), "calls") == "1"
        assert await claim(store, Attempt(name, OTHER_OFFER, "n2")) == Spent(1, OWNER)


async def test_many_at_once_share_a_few_waits(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    command(pair[0], "CONFIG", "RESETSTAT")
    names = [f"{handle_id}-{number}" for number in range(200)]
    await asyncio.gather(*(store.handles.save(record(name), life=60) for name in names))
    assert all(stands_on(pair[1], name) for name in names)
    waits = command(pair[0], "INFO", "commandstats")["cmdstat_wait"]["calls"]
    assert waits < len(names) / 10


async def test_while_one_waits_all_other_requests_are_served(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    unlimited = f"{handle_id}-unlimited"
    await store.handles.save(record(unlimited, max_calls=0), life=60)
    with cut_off(*pair):
        saving = asyncio.create_task(store.handles.save(record(handle_id), life=60))
        await eventually(lambda: stands_on(pair[0], handle_id))
        assert isinstance(await claim(store, Attempt(unlimited, OFFER, "n1")), Won)
        assert not saving.done()
    await saving
    assert stands_on(pair[1], handle_id)


async def test_without_a_replica_nothing_is_left_behind_and_the_next_ones_fail_at_once(
    store: Waiting, hasty: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    await store.handles.save(record(handle_id), life=60)
    lost, never = f"{handle_id}-lost", f"{handle_id}-never"
    with cut_off(*pair):
        with pytest.raises(StoreNotReplicated) as raised:
            await hasty.handles.save(record(lost), life=60)
        assert raised.value.retry_after
        assert not stands_on(pair[0], lost)
        with pytest.raises(StoreNotReplicated):
            hasty.handles.require_savable()
        with pytest.raises(StoreNotReplicated) as known:
            await hasty.handles.save(record(never), life=60)
        assert known.value.nothing_written
        assert not stands_on(pair[0], never)
        with pytest.raises(StoreNotReplicated):
            await claim(hasty, Attempt(handle_id, OFFER, "n1"))
        assert command(pair[0], "HGET", keys.handle(handle_id), "calls") == "0"
        hasty.connection.require_up()

    async def savable() -> bool:
        try:
            hasty.handles.require_savable()
        except StoreNotReplicated:
            return False
        return True

    await eventually(savable, "it did not notice that the replica is back")
    assert isinstance(await claim(store, Attempt(handle_id, OFFER, "n1")), Won)


async def test_a_use_that_no_replica_has_is_not_won_and_can_be_given_back(
    store: Waiting, hasty: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    await store.handles.save(record(handle_id), life=60)
    attempt = store.handles.attempt(handle_id, OFFER)
    with cut_off(*pair):
        with pytest.raises(StoreNotReplicated):
            await claim(hasty, attempt)
        assert command(pair[0], "HGET", keys.handle(handle_id), "calls") == "1"
        await give_back(store, attempt)
        assert command(pair[0], "HGET", keys.handle(handle_id), "calls") == "0"


async def test_a_repeat_over_a_new_connection_waits_for_what_the_first_one_wrote(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    # WAIT on a connection that wrote nothing says that every replica has everything.
    await store.handles.save(record(handle_id), life=60)
    attempt = store.handles.attempt(handle_id, OFFER)
    os.kill(pair[1].pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            again = waiting(pair[0].url, seconds=SHORT_SECONDS)
            with pytest.raises(StoreNotReplicated):
                await claim(again, attempt)
            await again.close()
    finally:
        os.kill(pair[1].pid, signal.SIGCONT)
    assert isinstance(await claim(store, attempt), Won)


async def test_a_connection_that_the_server_closed_is_opened_anew_unseen(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    for number in range(3):
        await store.handles.save(record(f"{handle_id}-{number}"), life=60)
        command(pair[0], "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        command(pair[0], "SCRIPT", "FLUSH")


async def test_who_goes_away_takes_nobody_elses_write_along(store: Waiting, handle_id: str) -> None:
    names = [f"{handle_id}-{number}" for number in range(30)]
    tasks = [asyncio.create_task(store.handles.save(record(name), life=60)) for name in names]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results[1::3] + results[2::3]} == {type(None)}


async def test_closing_ends_who_still_waits(
    store: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    # With this the server knows the scripts.
    await store.handles.save(record(handle_id), life=60)
    own = waiting(pair[0].url, replicas=9, seconds=30)
    names = [f"{handle_id}-{number}" for number in range(3)]
    saving = [asyncio.create_task(own.handles.save(record(name), life=60)) for name in names]
    await eventually(lambda: stands_on(pair[0], names[0]))
    await own.close()
    results = await asyncio.gather(*saving, return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}


async def test_only_a_primary_whose_replicas_follow_says_that_a_handle_is_gone(
    store: Waiting, hasty: Waiting, pair: tuple[LocalEngine, LocalEngine], handle_id: str
) -> None:
    attempt = store.handles.attempt(handle_id, OFFER)
    assert isinstance(await claim(store, attempt), Gone)
    await eventually(lambda: command(pair[0], "KEYS", "*{" + handle_id + "}*") == [])
    with cut_off(*pair), pytest.raises(StoreNotReplicated):
        await claim(hasty, attempt)
    # Nor does a replica, which is what an old primary becomes, also where nothing is waited for.
    for plain in (False, True):
        left_behind = waiting(pair[1].url)
        handles = HandleStore(left_behind.connection, replica="c") if plain else left_behind.handles
        with pytest.raises(StoreUnavailable) as raised:
            await handles.claim(attempt, families=tuple(Family), pending=30, now=1_234.5)
        assert isinstance(raised.value.__cause__, ReadOnlyError)
        await left_behind.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with real_cluster(replicas=3, arguments=COPY_AT_ONCE) as running:
        yield running


async def test_in_a_cluster_each_primary_s_own_replica_is_waited_for(
    cluster: RealCluster, handle_id: str
) -> None:
    store = waiting(cluster.url)
    names = [f"{handle_id}-{number}" for number in range(12)]
    try:
        for name in names:
            await store.handles.save(record(name), life=60)
            assert isinstance(await claim(store, Attempt(name, OFFER, "n1")), Won)
            replica = replica_of(cluster, name)
            assert command_on_replica(replica, "HGET", keys.handle(name), "calls") == "1"
        owners = {cluster.owner(keys.handle(name)).port for name in names}
        assert len(owners) == 3
        await _one_without_its_replica(cluster, store, names)
    finally:
        await store.close()


async def _one_without_its_replica(cluster: RealCluster, store: Waiting, names: list[str]) -> None:
    """The others go on, and mints go on."""
    name = next(name for name in names if cluster.owner(keys.handle(name)) is cluster.primaries[0])
    other = next(name for name in names if cluster.owner(keys.handle(name)) is cluster.primaries[1])
    hasty = waiting(cluster.url, seconds=SHORT_SECONDS)
    with cut_off(cluster.primaries[0], cluster.replicas[0]):
        with pytest.raises(StoreNotReplicated):
            await hasty.handles.save(record(name), life=60)
        assert not stands_on(cluster.primaries[0], name)
        await store.handles.save(record(other), life=60)
        hasty.handles.require_savable()
    await hasty.close()


async def test_a_slot_that_moves_is_followed(cluster: RealCluster, handle_id: str) -> None:
    store, key = waiting(cluster.url), keys.handle(handle_id)
    try:
        await store.handles.save(record(handle_id), life=60)
        old = cluster.owner(key)
        to = next(node for node in cluster.primaries if node is not old)
        cluster.begin_to_move(key, to)
        slot = command(to, "CLUSTER", "KEYSLOT", key)
        # The old node has nothing of the slot any more, and sends us to the new one.
        await store.handles.save(record(handle_id), life=60)
        assert command(to, "CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        cluster.end_the_move(key, to)
        await store.handles.save(record(handle_id), life=60)
        assert isinstance(await claim(store, Attempt(handle_id, OFFER, "n1")), Won)
        assert await claim(store, Attempt(handle_id, OTHER_OFFER, "n2")) == Spent(1, OWNER)
    finally:
        await store.close()


def replica_of(cluster: RealCluster, handle_id: str) -> LocalEngine:
    return cluster.replicas[cluster.primaries.index(cluster.owner(keys.handle(handle_id)))]


def command_on_replica(node: LocalEngine, *words: str | int) -> Any:
    """A replica of a Cluster sends readers away, unless they say that they know."""
    with onlooker(node.url, single_connection_client=True) as client:
        client.execute_command("READONLY")
        return client.execute_command(*words)
