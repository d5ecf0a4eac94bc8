"""Mints, relays and hang-ups that are cancelled at each of their awaits, in the real service.

The service, its store and the provider are real; only the cancellation is ours. It strikes the task that
serves the request, at an await that a seed chooses. Afterwards no claim may be pending, and every use of a
handle must be accounted for. Every call must be held by a browser, be due, or be unknown by its id. No
request in flight, no write, no task and no connection may be left over.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import aiohttp
import structlog.testing
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app import main
from app.outbound.client import UpstreamClient
from app.settings import load_settings
from app.store import keys
from app.store.embedded.engine import LocalEngine
from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import hang_up, mint, minted, relay
from tests.support.cancelling import CancelledAt
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.planted import Planted
from tests.support.processes import Sandbox
from tests.support.scrape import scrape

SEED: Final = 1207
# Three cancellations each: a mint, a relay and a hang-up.
AT_ONCE: Final = 24
# Fewer than requests at once: some wait for a connection to the provider, and a lost one is missed soon.
CONNECTIONS: Final = 12
# A few more than an operation waits for: one that dials a provider waits more often than one that need not.
MOST_STEPS: Final = {"mint": 7, "relay": 8, "hangup": 8}
_PLAN: Final = "x-cancel-at"

# How often each await of each operation was struck.
Struck = Counter[tuple[str, int]]


@dataclass
class Bench:
    """One service in this loop, and what became of its requests."""

    http: aiohttp.ClientSession
    url: str
    planted: Planted
    store: Any
    sandbox: Sandbox
    struck: Struck
    kept: set[str] = field(default_factory=set)


def _canceller(struck: Struck) -> Middleware:
    """Cancels a request as its header says: ``<operation> <number of the await> <when>``."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        plan = request.headers.get(_PLAN)
        if plan is None:
            return await handler(request)

        async def run() -> web.StreamResponse:
            return await handler(request)

        operation, at, when = plan.split()
        running = CancelledAt(run(), int(at), "ready" if when == "ready" else "waiting")
        try:
            return await running
        finally:
            if running.struck:
                struck[operation, int(at)] += 1

    return middleware


async def cancelled(progress: Progress, rounds: int) -> Figures:
    """Cancel ``rounds`` requests: in the first half lost calls stay, in the second they are hung up."""
    struck: Struck = Counter()
    for hangs_up in (False, True):
        async with AsyncExitStack() as resources:
            bench = await _bench(resources, hangs_up=hangs_up)
            await _warm(bench)
            before = await _left_over(bench)
            lines = resources.enter_context(structlog.testing.capture_logs())
            number = 0
            while (done := bench.struck.total()) < rounds // 2:
                await _round(bench, random.Random(f"{SEED} {hangs_up} {number}"))
                number += 1
                progress.at(done, rounds // 2, "lost calls are hung up" if hangs_up else "lost calls stay")
            await _judge_calls(bench, hangs_up=hangs_up)
            await _judge_rest(bench, before)
            defects = [line for line in lines if line["log_level"] in ("error", "critical")]
            assert not defects, defects[:3]
            struck += bench.struck
    totals: Counter[str] = Counter()
    for (operation, _), count in struck.items():
        totals[operation] += count
    awaits = Counter(operation for operation, _ in struck)
    named = {
        f"{name} of them": f"{count:,}, at {awaits[name]} awaits" for name, count in sorted(totals.items())
    }
    return {"cancelled": totals.total(), **named}


async def _bench(resources: AsyncExitStack, *, hangs_up: bool) -> Bench:
    planted = Planted()
    engine = resources.enter_context(LocalEngine())
    sandbox = resources.enter_context(
        Sandbox(
            "--peer",
            "static",
            "--peer-cap",
            "1000000",
            openai_key=planted.openai_key,
            azure_key=planted.azure_key,
        )
    )
    settings = planted.environment(
        CLOAKROOM_REDIS_URL=engine.url,
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL=f"{sandbox.url}/v1",
        CLOAKROOM_REPLAY_WINDOW_SECONDS="600",
        CLOAKROOM_UNDELIVERED_GRACE_SECONDS="600",
        CLOAKROOM_HANGUP_LOST_CALLS=str(hangs_up).lower(),
        CLOAKROOM_LOG_LEVEL="error",
    )
    few = partial(UpstreamClient, connections=CONNECTIONS)
    resources.enter_context(mock.patch.object(main, "UpstreamClient", few))
    app = main.create_app(load_settings(settings))
    struck: Struck = Counter()
    app.middlewares.insert(0, _canceller(struck))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
    await runner.setup()
    resources.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    # A connection for each request: none is kept that could pass for a lost one.
    fresh = aiohttp.TCPConnector(force_close=True)
    http = await resources.enter_async_context(aiohttp.ClientSession(connector=fresh))
    store = async_onlooker(engine.url)
    resources.push_async_callback(store.aclose)
    host, port = runner.addresses[0][:2]
    return Bench(http, f"http://{host}:{port}", planted, store, sandbox, struck)


async def _warm(bench: Bench) -> None:
    """Open every connection once, so that what is left over can be compared."""
    await bench.store.ping()
    await asyncio.gather(*(_lives_well(bench) for _ in range(AT_ONCE)))


async def _lives_well(bench: Bench) -> None:
    """Nothing is cancelled: a handle, its call, and the call's end."""
    handle = await minted(bench.http, bench.url, bench.planted.client_key)
    reply = await relay(bench.http, bench.url, handle)
    assert reply.status == 201, reply
    call_id = reply.headers["location"].rpartition("/")[2]
    assert (await hang_up(bench.http, bench.url, handle, call_id)).status == 200


async def _round(bench: Bench, chance: random.Random) -> None:
    """A cancelled mint, relay and hang-up, for so many browsers at once, and what they leave behind."""
    handle = await minted(bench.http, bench.url, bench.planted.client_key)
    plans = [{name: _plan(chance, name) for name in MOST_STEPS} for _ in range(AT_ONCE)]
    results = await asyncio.gather(*(_browser(bench, handle, plan) for plan in plans))
    handle_id = str(claims_of(handle)["jti"])
    names = {
        offer: keys.claim(handle_id, hashlib.sha256(offer).hexdigest())
        for offers in results
        for offer, _ in offers
    }
    delivered = {offer for offers in results for offer, got in offers if got}

    async def settled() -> bool:
        return bool((await scrape(bench.http, bench.url)).value("cloakroom_settlements_pending") == 0)

    await eventually(settled)
    claims = dict(zip(names, await bench.store.mget(list(names.values())), strict=True))
    stuck = {offer: claim for offer, claim in claims.items() if claim and claim.startswith("pending:")}
    assert not stuck, f"{len(stuck)} claims are stuck"
    used = sum(claim is not None for claim in claims.values())
    assert int(await bench.store.hget(keys.handle(handle_id), "calls")) == used, claims
    for offer, claim in claims.items():
        if claim is not None and claim.startswith("answered:") and offer not in delivered:
            call_id = claim.split(":")[1]
            entry = f"undelivered:{call_id}"
            assert await bench.store.zscore(keys.deadlines(call_id), entry), (
                "a call that nobody holds is not due"
            )
    bench.kept |= {str(claims[offer]).split(":")[1] for offer in delivered if claims[offer]}


async def _browser(bench: Bench, handle: str, plan: dict[str, dict[str, str]]) -> list[tuple[bytes, bool]]:
    """Return the offers that were sent, each with whether its answer came."""
    first, second = fresh_offer(), fresh_offer()
    key = bench.planted.client_key
    await _or_cut(mint(bench.http, bench.url, key, None, **plan["mint"]))
    got = await _or_cut(relay(bench.http, bench.url, handle, first, **plan["relay"]))
    reply = await relay(bench.http, bench.url, handle, second)
    assert reply.status == 201, reply
    call_id = reply.headers["location"].rpartition("/")[2]
    await _or_cut(hang_up(bench.http, bench.url, handle, call_id, **plan["hangup"]))
    # Whatever became of the first try, the call can be ended.
    assert (await hang_up(bench.http, bench.url, handle, call_id)).status == 200
    return [(first, got is not None and got.status == 201), (second, True)]


async def _or_cut(request: Awaitable[Any]) -> Any:
    """The reply; None where the connection was closed on it."""
    try:
        return await request
    except aiohttp.ClientError:
        return None


def _plan(chance: random.Random, operation: str) -> dict[str, str]:
    at, when = chance.randint(1, MOST_STEPS[operation]), chance.choice(("waiting", "ready"))
    return {_PLAN: f"{operation} {at} {when}"}


async def _judge_calls(bench: Bench, *, hangs_up: bool) -> None:
    """Where lost calls are hung up, every call that lives is held by a browser or will be hung up."""
    if not hangs_up:
        return

    async def nobody_is_missed() -> bool:
        due = [entry for name in keys.ALL_DEADLINES for entry in await bench.store.zrange(name, 0, -1)]
        told = {entry.partition(":")[2] for entry in due if entry.startswith("undelivered:")}
        calls = await asyncio.to_thread(bench.sandbox.control, "GET", "calls")
        alive = {call["call_id"] for call in calls["calls"] if call["ended_at"] is None}
        return alive <= told | bench.kept

    await eventually(nobody_is_missed, "a call lives that no browser holds and that is not due")


@dataclass(frozen=True)
class LeftOver:
    """What a service has when nothing happens."""

    in_flight: float | None
    pending: float | None
    given_up: float | None
    tasks: Counter[str]
    files: int


async def _left_over(bench: Bench) -> LeftOver:
    found = await scrape(bench.http, bench.url)
    # The name of a task that has none is a number.
    names = [task.get_name().rstrip("0123456789") for task in asyncio.all_tasks()]
    return LeftOver(
        found.value("cloakroom_requests_in_flight"),
        found.value("cloakroom_settlements_pending"),
        found.value("cloakroom_settlements_given_up_total"),
        Counter(names),
        _open_files(),
    )


def _open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def _judge_rest(bench: Bench, before: LeftOver) -> None:
    """The service is as it was, and serves as many at once as it did."""
    # A place in the pool, or a connection, that was lost would be missing now.
    await asyncio.gather(*(_lives_well(bench) for _ in range(AT_ONCE)))

    async def as_before() -> bool:
        now = await _left_over(bench)
        counters = (now.in_flight, now.pending, now.given_up)
        return counters == (1, 0, 0) and now.tasks <= before.tasks and now.files <= before.files

    await eventually(as_before, "something is left over")


DRILLS: Final = (Drill(name="cancellations", promise="12", minutes=12, rounds=100_000, run=cancelled),)
