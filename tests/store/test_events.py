"""The live events, over every kind of store: what one replica does, a watcher at another sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.store import keys
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.events import BACKLOG, FIELDS, QUEUE, Event, EventFeed, Watch
from app.store.execution.driver import connect
from tests.support.clocks import PATIENCE


@pytest.fixture
async def elsewhere(connection: StoreConnection) -> AsyncIterator[StoreConnection]:
    """Another replica's connection to the same store."""
    made = StoreConnection(connection._client, replica="elsewhere", timeout=PATIENCE)
    yield made
    await made._executor.close()


@pytest.fixture
def teller(elsewhere: StoreConnection) -> EventFeed:
    return EventFeed(elsewhere, replica="replica-b", clock=lambda: 1_800_000_000.25)


async def seen(watch: Watch, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """The events until there are enough of them."""
    found: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while not enough(found):
            found += await watch.next(seconds=1)
    return found


async def until_wanted(feed: EventFeed, connection: StoreConnection, *, wanted: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while feed.wanted is not wanted:
            await asyncio.sleep(0.05)
            await connection.probe()


async def test_a_watcher_sees_what_another_replica_does_in_its_order(
    connection: StoreConnection, elsewhere: StoreConnection, teller: EventFeed
) -> None:
    async with EventFeed(connection, replica="replica-a").watch() as watch:
        await until_wanted(teller, elsewhere, wanted=True)
        for number in range(300):
            teller.offer("mint", {"handle": f"h{number}", "status": 200, "model": "gpt-realtime-2.1"})
        events = await seen(watch, lambda found: len(found) >= 300)
    assert [event.fields["handle"] for event in events] == [f"h{number}" for number in range(300)]
    assert {event.name for event in events} == {"mint"}
    assert events[0].fields.keys() == {*FIELDS, "replica", "at"}
    assert events[0].fields["replica"] == "replica-b"
    assert events[0].fields["at"] == 1_800_000_000.25
    assert events[0].fields["code"] is None


async def test_only_the_fields_that_are_meant_are_told(
    connection: StoreConnection, teller: EventFeed
) -> None:
    async with EventFeed(connection, replica="replica-a").watch() as watch:
        teller.offer("relay", {"status": 201, "sealed_key": "seal1.AAAA", "authorization": "Bearer x"})
        (event,) = await seen(watch, bool)
    assert event.fields["status"] == 201
    assert "seal1" not in str(event)
    assert "Bearer" not in str(event)


async def test_nobody_is_told_once_nobody_watches(
    connection: StoreConnection, elsewhere: StoreConnection, teller: EventFeed
) -> None:
    client: Any = connection._client.driver.client
    assert not teller.wanted
    async with EventFeed(connection, replica="replica-a").watch():
        await until_wanted(teller, elsewhere, wanted=True)
        assert 0 < await client.pttl(keys.watch()) <= 6_000
    await client.pexpire(keys.watch(), 1)
    await until_wanted(teller, elsewhere, wanted=False)


async def test_two_watchers_each_see_everything_and_one_that_ends_leaves_the_other(
    connection: StoreConnection, teller: EventFeed
) -> None:
    feed = EventFeed(connection, replica="replica-a")
    async with feed.watch() as first:
        async with feed.watch() as second:
            assert feed.watchers == 2
            teller.offer("mint", {"handle": "both"})
            for watch in (first, second):
                assert [event.fields["handle"] for event in await seen(watch, bool)] == ["both"]
        assert feed.watchers == 1
        teller.offer("mint", {"handle": "one"})
        assert [event.fields["handle"] for event in await seen(first, bool)] == ["one"]
    assert feed.watchers == 0


async def test_more_than_the_queue_holds_is_dropped_oldest_first_and_the_drop_is_told(
    connection: StoreConnection, teller: EventFeed
) -> None:
    async with EventFeed(connection, replica="replica-a").watch() as watch:
        for number in range(QUEUE + 7):
            teller.offer("mint", {"handle": f"h{number}"})
        events = await seen(watch, lambda found: bool(found) and found[-1].name == "dropped")
    assert [event.fields["handle"] for event in events[:-1]] == [f"h{n}" for n in range(7, QUEUE + 7)]
    assert (events[-1].fields["count"], events[-1].fields["replica"]) == (7, "replica-b")


async def test_a_watcher_that_reads_too_slowly_is_told_how_many_it_missed(
    connection: StoreConnection,
) -> None:
    async with EventFeed(connection, replica="replica-a").watch() as watch:
        for number in range(BACKLOG + 3):
            watch._put(Event("mint", {"handle": f"h{number}"}))
        first, *others = await watch.next(seconds=1)
    assert (first.name, first.fields["count"], len(others)) == ("dropped", 3, BACKLOG)
    assert others[0].fields["handle"] == "h3"


async def test_the_end_of_the_replica_ends_its_watches_at_once(connection: StoreConnection) -> None:
    feed = EventFeed(connection, replica="replica-a")
    async with feed.watch() as watch:
        waiting = asyncio.create_task(watch.next(seconds=PATIENCE * 10))
        await asyncio.sleep(0)
        feed.end_watches()
        assert await asyncio.wait_for(waiting, PATIENCE) == []
        assert watch.ended
        await feed.close()


async def test_what_is_offered_last_is_told_before_the_feed_is_closed(
    connection: StoreConnection, teller: EventFeed
) -> None:
    async with EventFeed(connection, replica="replica-a").watch() as watch:
        teller.offer("mint", {"handle": "last"})
        await teller.close()
        assert [event.fields["handle"] for event in await seen(watch, bool)] == ["last"]


# --- trouble, on a server of the test's own ------------------------------------------------------


def connection_to(url: str) -> StoreConnection:
    client = connect(parse_address(url), replica="test", timeout=PATIENCE, max_connections=8)
    return StoreConnection(client, replica="test", timeout=PATIENCE)


async def test_a_lost_subscription_comes_back_by_itself_and_the_gap_is_told() -> None:
    with LocalEngine() as engine:
        connection = connection_to(engine.url)
        feed = EventFeed(connection, replica="replica-a")
        async with feed.watch() as watch:
            client: Any = connection._client.driver.client
            for _ in range(2):
                assert await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
                events = await seen(watch, bool)
                assert [(event.name, event.fields["count"]) for event in events] == [("dropped", None)]
                feed.offer("mint", {"handle": "after"})
                assert [event.fields["handle"] for event in await seen(watch, bool)] == ["after"]
        await connection.close()


async def test_a_store_that_is_gone_for_a_while_loses_the_watcher_nothing_but_events() -> None:
    with LocalEngine() as first:
        port = first.port
        connection = connection_to(first.url)
        feed = EventFeed(connection, replica="replica-a")
        watch = feed.watch()
        await watch.__aenter__()
    feed.offer("mint", {"handle": "lost"})
    await asyncio.wait_for(feed._sender or asyncio.sleep(0), PATIENCE)
    with LocalEngine(port=port):
        assert any(event.fields["count"] is None for event in await seen(watch, bool))
        await connection.probe()
        feed.offer("mint", {"handle": "found"})
        events = await seen(watch, lambda found: len(found) >= 2)
        assert [event.name for event in events] == ["mint", "dropped"]
        assert events[0].fields["handle"] == "found"
        assert (events[1].fields["count"], events[1].fields["replica"]) == (1, "replica-a")
        await watch.__aexit__(None, None, None)
        await connection.close()


async def test_without_a_store_a_watch_does_not_begin_and_an_offer_harms_nobody() -> None:
    with LocalEngine() as engine:
        url = engine.url
    connection = connection_to(url)
    feed = EventFeed(connection, replica="replica-a")
    with pytest.raises(StoreUnavailable, match="lets nobody watch"):
        async with feed.watch():
            pass
    assert feed.watchers == 0
    feed.offer("mint", {"handle": "lost"})
    await feed.close()
    await connection.close()


async def test_a_user_who_may_not_publish_or_subscribe_is_told_so_and_its_store_stays_up() -> None:
    with LocalEngine() as engine:
        admin: Any = connection_to(engine.url)._client.driver.client
        rule = ("on", ">secretsecretsecret", "~*", "resetchannels", "+@all", "-publish", "-subscribe")
        await admin.execute_command("ACL", "SETUSER", "narrow", *rule)
        connection = connection_to(engine.url.replace("redis://", "redis://narrow:secretsecretsecret@"))
        feed = EventFeed(connection, replica="replica-a")
        assert await connection.probe()
        with pytest.raises(StoreUnavailable, match="no permissions"):
            async with feed.watch():
                pass
        feed.offer("mint", {"handle": "lost"})
        await feed.close()
        assert connection.up
        await connection.close()
        await admin.aclose()
