"""Refills: how many mints at once, whom they ask, and what becomes of what fails."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import orjson
import pytest
import structlog

from app.broker.pool.counts import KeyOutcome, PoolCounts
from app.broker.pool.demand import FEW_AT_ONCE
from app.broker.pool.refill import Refill
from app.broker.pool.shelf import Order, Shelf
from app.broker.routing.attempts import Candidate, MintAttempts
from app.broker.routing.breaker import Breakers, Verdict
from app.broker.session_policy import PoolPolicy
from app.errors import StoreUnavailable
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.models import Clocks
from app.outbound.client import UpstreamClient
from app.providers.registry import PROVIDERS
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.execution.driver import connect
from app.store.pools import PoolBill, PoolLevel, PoolStore, PoolTake, Swept
from app.telemetry.timings import TakeResult, Timings
from tests.support.clocks import PATIENCE, eventually
from tests.support.egress import here
from tests.unit.outbound.peer import Peer, Reply, saying
from tests.unit.values import EPHEMERAL_KEY, deployment, mint_request, ring

SHAPE: Final = "k1.0123456789abcdefghijkl"
LONG: Final = 600.0
_serial = itertools.count()


def answer(status: int, body: Any = b"") -> Reply:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return saying(f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)


def minted(session: Any = None) -> Reply:
    return answer(
        200, {"value": EPHEMERAL_KEY, "expires_at": int(time.time()) + 1200, "session": session or {}}
    )


silent = saying()


class Counts(PoolCounts):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.keys_of: Counter[str] = Counter()
        self.tries = 0

    def took(self, model: str, result: TakeResult) -> None:
        raise AssertionError("a refill takes nothing")

    def keys(self, model: str, outcome: KeyOutcome, number: int = 1) -> None:
        self.keys_of[outcome] += number

    def tried(self, timings: Timings) -> None:
        self.tries += len(timings.tries)


class Bench:
    """One replica's refills, at providers of the test, into a store in memory."""

    def __init__(self, connection: StoreConnection, client: UpstreamClient, peers: list[Peer]) -> None:
        self.peers = peers
        clocks = Clocks(time.time, time.perf_counter)
        self.breakers = Breakers(time.perf_counter)
        self.store, self.counts = PoolStore(connection), Counts()
        self.shelf = Shelf(
            store=self.store,
            sealer=Sealer(parse_sealing_ring(ring("k1"))),
            counts=self.counts,
            clocks=clocks,
        )
        attempts = MintAttempts(
            providers=PROVIDERS, upstream=client, deadline=30.0, clocks=clocks, breakers=self.breakers
        )
        self.refill = Refill(self.shelf, attempts, self.breakers, clocks=clocks, hold=60.0)
        self.order: Order

    async def start(self) -> None:
        candidates = [
            Candidate(deployment(name=name, base_url=await peer.start()), mint_request())
            for name, peer in zip("ab", self.peers, strict=False)
        ]
        self.order = Order(f"voice-{next(_serial)}", PoolPolicy(20, 0.5), 600, SHAPE, candidates)

    async def take(self, times: int = 1) -> None:
        """Take so often; the last one begins the refill."""
        for _ in range(times):
            took = await self.shelf.take(self.order)
        self.refill.wanted(self.order, took)

    async def level(self) -> tuple[int, int]:
        (found,) = (await self.store.state(self.order.model)).shapes
        return found.stock, found.pending

    async def bill(self) -> PoolBill:
        return (await self.store.state(self.order.model)).bill

    async def settled(self) -> tuple[int, int]:
        """Keys in stock once nothing is under way; keys that are pending all the same."""

        async def done() -> bool:
            return not self.refill._tasks

        await eventually(done)
        return await self.level()

    @property
    def asked(self) -> list[int]:
        return [len(peer.requests) for peer in self.peers]


Make = Callable[..., Any]


@pytest.fixture
async def bench() -> AsyncIterator[Make]:
    async with AsyncExitStack() as resources:

        async def make(*replies: Reply) -> Bench:
            client = connect(parse_address("memory://"), replica="a", timeout=PATIENCE, max_connections=8)
            connection = StoreConnection(client, replica="a", timeout=PATIENCE)
            resources.push_async_callback(connection.close)
            upstream = UpstreamClient(connect_timeout=3.0, egress=here())
            resources.push_async_callback(upstream.close)
            peers = [Peer(reply) for reply in replies]
            made = Bench(connection, upstream, peers)
            await made.start()
            for peer in peers:
                resources.push_async_callback(peer.close)
            resources.push_async_callback(made.refill.close, grace=0.0)
            return made

        yield make


async def test_a_few_are_minted_at_once_and_the_others_after_them(bench: Make) -> None:
    slow = await bench(silent)
    await slow.take(10)
    assert await eventually(lambda: slow.asked == [FEW_AT_ONCE])
    assert await slow.level() == (0, FEW_AT_ONCE)
    quick = await bench(minted())
    await quick.take(10)
    assert await quick.settled() == (10, 0)
    assert +quick.counts.keys_of == Counter(minted=10)
    assert (quick.asked, quick.counts.tries) == ([10], 10)


async def test_a_take_while_others_are_minted_is_made_up_for_too(bench: Make) -> None:
    made = await bench(minted())
    for _ in range(12):
        await made.take()
    stock, pending = await made.settled()
    assert pending == 0
    assert 8 <= stock <= 12


async def test_a_deployment_that_just_failed_is_left_to_ordinary_mints(bench: Make) -> None:
    made = await bench(minted(), minted())
    made.breakers.leave("a", made.breakers.enter("a") or 0, Verdict("answered", elsewhere=True))
    await made.take(3)
    assert await made.settled() == (3, 0)
    assert made.asked == [0, 3]
    made.breakers.leave("b", made.breakers.enter("b") or 0, Verdict("answered", elsewhere=True))
    await made.take(3)
    assert made.asked == [0, 3]
    assert (await made.settled())[1] == 0


async def test_where_one_fails_the_next_deployment_is_asked(bench: Make) -> None:
    made = await bench(answer(500), minted())
    await made.take(2)
    assert await made.settled() == (2, 0)


async def test_after_a_failure_it_rests_and_gives_its_marks_back(bench: Make) -> None:
    made = await bench(answer(400, {"error": {"message": "No such voice.", "code": "invalid_value"}}))
    with structlog.testing.capture_logs() as captured:
        await made.take(3)
        assert await made.settled() == (0, 0)
    (line,) = [line for line in captured if line["event"] == "pool_rests"]
    assert (line["model"], line["seconds"]) == (made.order.model, 1.0)
    assert "No such voice." in line["reason"]
    assert 1 <= made.asked[0] <= FEW_AT_ONCE
    asked = made.asked
    await made.take(3)
    assert made.asked == asked
    assert await made.bill() == PoolBill()


async def test_a_key_whose_session_cannot_be_kept_is_lost(bench: Make) -> None:
    deep: Any = {}
    for _ in range(240):
        deep = {"deeper": deep}
    # The answer's bytes: orjson reads deeper than it writes.
    body = orjson.dumps({"value": EPHEMERAL_KEY, "expires_at": int(time.time()) + 1200, "session": deep})
    for _ in range(40):
        body = body.replace(b'"deeper":{}', b'"deeper":{"deeper":{}}')
    made = await bench(answer(200, body))
    await made.take(2)
    assert await made.settled() == (0, 0)
    assert (await made.bill()).lost == made.counts.keys_of["lost"] >= 1


async def test_a_store_that_does_not_take_a_key_at_first_is_asked_again(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, failures = await bench(minted()), iter([True, False])
    put = PoolStore.put

    async def sometimes(self: PoolStore, *args: Any, **options: Any) -> bool:
        if next(failures, False):
            raise StoreUnavailable("No.", retry_after=1)
        return await put(self, *args, **options)

    monkeypatch.setattr(PoolStore, "put", sometimes)
    await made.take(2)
    assert await made.settled() == (2, 0)


async def test_a_store_that_gives_no_leave_is_left_alone(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await bench(minted())

    async def never(*_: Any) -> Any:
        raise StoreUnavailable("No.", retry_after=1)

    monkeypatch.setattr(PoolStore, "reserve", never)
    await made.take(3)
    assert await made.settled() == (0, 0)
    assert made.asked == [0]


async def test_at_the_end_marks_are_taken_back_and_nothing_begins_any_more(bench: Make) -> None:
    made = await bench(silent)
    await made.take(3)
    assert await eventually(lambda: made.asked == [3])
    await made.refill.close(grace=0.0)
    assert await made.level() == (0, 0)
    assert await made.bill() == PoolBill(lost=3)
    await made.take(3)
    assert await made.settled() == (0, 0)


async def test_leave_that_comes_when_the_end_has_begun_is_given_back(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, reserve, asked, go_on = await bench(minted()), PoolStore.reserve, asyncio.Event(), asyncio.Event()

    async def late(self: PoolStore, *args: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await reserve(self, *args)

    monkeypatch.setattr(PoolStore, "reserve", late)
    await made.take(3)
    await asked.wait()
    closing = asyncio.create_task(made.refill.close(grace=PATIENCE))
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert await made.level() == (0, 0)
    assert (made.asked, await made.bill()) == ([0], PoolBill())


async def test_it_is_logged_when_waste_turns_a_pool_down_and_when_it_comes_back(bench: Make) -> None:
    made = await bench(silent)
    level = PoolLevel(SHAPE, 20, 0, 20, 100, takes=9, idle=0.0, serves=LONG)

    def took(**bill: int) -> PoolTake:
        return PoolTake(None, 0, level, PoolBill(**bill), Swept())

    with structlog.testing.capture_logs() as captured:
        for bill in (
            {"hour_minted": 5},
            {"hour_minted": 40, "hour_wasted": 19},
            {"hour_minted": 40, "hour_wasted": 20},
            {"hour_minted": 200, "hour_wasted": 20},
        ):
            made.refill.wanted(made.order, took(**bill))
    assert [line["event"] for line in captured] == ["pool_turned_down", "pool_turned_up"]
    assert captured[0]["wasted"] == 19
