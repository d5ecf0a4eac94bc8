"""Overload is shed and passes; a slow provider and slow callers are none. Long: tests/faults/overload.py."""

from __future__ import annotations

import asyncio
import gzip
import json
import os

import aiohttp

from tests.bench.open_loop import OpenLoop
from tests.bench.wrk import Load, request_template
from tests.support.api import mint, minted
from tests.support.clocks import eventually
from tests.support.idlers import Idlers
from tests.support.scrape import scrape
from tests.support.stack import Stack

CALLERS = 900
SECONDS = 3.0
# Cheap to send and dear to read, so that on any machine the replica is slower than the load: 200 bytes that
# grow to 60 kB of JSON, which is refused.
DEAR_BODY = gzip.compress(json.dumps({"session": {"type": "none", "tools": [{}] * 15_000}}).encode())


def dear_load(client_key: str) -> Load:
    """Mints that are refused with a 400, after much work and without the provider."""
    headers = (
        ("Authorization", f"Bearer {client_key}"),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
    )
    return Load(request_template("/v1/realtime/client_secrets", headers, DEAR_BODY), ("",))


async def test_a_storm_is_shed_and_passes(static_stack: Stack, http: aiohttp.ClientSession) -> None:
    """Its requests need no provider, so that it is the replica that has no time."""
    replica = static_stack.replica("stormed")
    with OpenLoop(
        replica.url,
        [dear_load(static_stack.planted.client_key)],
        rate=None,
        seconds=SECONDS,
        cpus=os.sched_getaffinity(0),
        connections=CALLERS,
    ) as storm:
        running = asyncio.create_task(asyncio.to_thread(storm.result))
        operators = {"Authorization": f"Bearer {static_stack.planted.admin_key}"}
        looks = 0
        while not running.done():
            for path in ("/readyz", "/livez", "/metrics", "/admin/v1/handles"):
                async with http.get(replica.url + path, headers=operators) as response:
                    assert response.status == 200, (path, await response.text())
            looks += 1
        told = await running
    assert looks > 0
    assert (told.lost, told.unsent) == (0, 0), told
    # Some were served, which ended with a 400, and all others were told when to come again.
    assert told.by_status.keys() == {"400", "503"}, told
    assert told.by_status["503"].told_when == told.by_status["503"].count > 0, told

    ended = await asyncio.to_thread(replica.wait_for_event, "overload_ended")
    assert 0 < ended["refused"] <= told.by_status["503"].count
    seen = await scrape(http, replica.url)
    assert seen.value("cloakroom_shedding") == 0
    assert seen.value("cloakroom_http_refusals_total", code="overloaded") == told.by_status["503"].count
    assert (await mint(http, replica.url, static_stack.planted.client_key)).status == 200


async def test_requests_that_wait_for_a_slow_provider_are_no_overload(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = static_stack.replica("patient")
    many = 200
    fault = {"kind": "delay", "path": "client_secrets", "seconds": 3.0, "times": many}
    static_stack.sandbox.control("POST", "faults", fault)
    replies = await asyncio.gather(
        *(mint(http, replica.url, static_stack.planted.client_key) for _ in range(many))
    )
    assert {reply.status for reply in replies} == {200}
    await eventually(static_stack.sandbox.struck)
    assert replica.events("overload_began") == []


async def test_slow_and_idle_callers_take_nobodys_place(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = static_stack.replica(
        "crowded", CLOAKROOM_MAX_IN_FLIGHT="2", CLOAKROOM_BODY_TIMEOUT_SECONDS="120"
    )
    with Idlers(replica.url, static_stack.planted.client_key, idle=300, heads=100, bodies=100) as idlers:

        async def all_there() -> bool:
            seen = await scrape(http, replica.url)
            return (seen.value("process_open_fds") or 0) > 500

        await eventually(all_there)
        for _ in range(20):
            await minted(http, replica.url, static_stack.planted.client_key)
        assert idlers.open() > 0
        seen = await scrape(http, replica.url)
        # This scrape, and none of the slow ones.
        assert seen.value("cloakroom_requests_in_flight") == 1
    answered = [json.loads(line)["status"] for line in replica.lines if '"event":"mint"' in line]
    assert answered.count(200) == 20
