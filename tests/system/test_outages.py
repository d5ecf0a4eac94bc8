"""Short forms of the long drills: failovers and stalls of the store under load, as in ``make test-faults``.

How long an outage lasts is the drills' to measure, on a machine that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import os
import signal

import aiohttp

from tests.faults.drill import Progress
from tests.faults.outages import LATEST, by_sentinel, in_a_cluster
from tests.support.api import mint, minted, relay
from tests.support.clocks import LENIENCY
from tests.support.stack import Stack

# The first round in which a replica of the store and a Sentinel are lost as well.
WITH_WHAT_IS_BESIDE = 2


async def test_a_primary_that_is_lost_with_its_replica_and_a_sentinel_has_an_heir_that_is_found() -> None:
    figures = await by_sentinel(
        Progress("outage-by-sentinel"), 1, first=WITH_WHAT_IS_BESIDE, latest=LATEST * LENIENCY
    )
    assert figures["failovers"] == 1


async def test_a_cluster_that_loses_a_primary_serves_by_the_others_meanwhile() -> None:
    figures = await in_a_cluster(
        Progress("outage-in-a-cluster"), 1, latest=LATEST * LENIENCY, relays_answered=0.3, mints_answered=0.5
    )
    assert figures["failovers"] == 1


async def test_requests_that_wait_when_the_store_falls_silent_are_answered_and_later_ones_fail_at_once(
    http: aiohttp.ClientSession,
) -> None:
    with Stack(
        peer="static", CLOAKROOM_STORE_TIMEOUT_SECONDS="3", CLOAKROOM_STORE_PATIENCE_SECONDS="60"
    ) as stack:
        handle = await minted(http, stack.a.url, stack.planted.client_key)
        os.kill(stack.engine.pid, signal.SIGSTOP)
        try:
            waiting = [
                asyncio.create_task(asked)
                for _ in range(5)
                for asked in (
                    mint(http, stack.a.url, stack.planted.client_key),
                    relay(http, stack.b.url, handle),
                )
            ]
            await asyncio.to_thread(stack.a.wait_for_event, "store_down")
            await asyncio.to_thread(stack.b.wait_for_event, "store_down")
            stack.sandbox.control("DELETE", "requests")
            for _ in range(5):
                assert (await mint(http, stack.a.url, stack.planted.client_key)).code == "store_unavailable"
                assert (await relay(http, stack.b.url, handle)).code == "store_unavailable"
            assert stack.sandbox.control("GET", "state")["requests"] == {}
            assert not any(task.done() for task in waiting)
        finally:
            os.kill(stack.engine.pid, signal.SIGCONT)
        statuses = [(await task).status for task in waiting]
        assert statuses == [200, 201] * 5
        assert await asyncio.to_thread(stack.a.wait_for_event, "store_up")
