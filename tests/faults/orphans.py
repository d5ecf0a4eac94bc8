"""Browsers that leave while the provider thinks, and a replica that dies before their calls are hung up.

Every call is at the provider, and no browser has its answer. Half of them were relayed by a replica that is
killed during the grace time, while both replicas hang up the calls that are due. All have to end, each once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any, Final

import aiohttp

from app.broker.deadlines.orphans import DELIVERY_SECONDS
from app.broker.deadlines.overdue import LOOK_SECONDS
from app.store import keys
from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import minted, relay
from tests.support.clocks import eventually
from tests.support.onlooker import async_onlooker
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.stack import Stack

GRACE_SECONDS: Final = 8.0
# Browsers that leave at once, and how long the provider thinks, so that all of them have left by then.
AT_ONCE: Final = 100
THINKS_SECONDS: Final = 3.0
PLANTED: Final = 10_000
_WATCHED_SECONDS: Final = 5.0


async def abandoned(progress: Progress, rounds: int) -> Figures:
    """``rounds`` browsers leave; one of the two replicas is killed once the last one has."""
    with Stack(
        peer="static",
        sandbox_arguments=("--peer-cap", "100000"),
        CLOAKROOM_UNDELIVERED_GRACE_SECONDS=f"{GRACE_SECONDS}",
        CLOAKROOM_REPLAY_WINDOW_SECONDS="1",
    ) as stack:
        slow = {"kind": "delay", "path": "calls", "seconds": THINKS_SECONDS, "times": 0}
        stack.sandbox.control("POST", "faults", slow)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            for first in range(0, rounds, AT_ONCE):
                await _leave(stack, http, min(AT_ONCE, rounds - first))
                progress.at(min(first + AT_ONCE, rounds), rounds, "browsers have left")
            await eventually(lambda: stack.sandbox.control("GET", "state")["calls"]["opened"] == rounds)
            # The last answers come to nobody at this moment. Their deadlines are written before the death.
            await eventually(lambda: _noted(stack, http, rounds))
            stack.a.signal(signal.SIGKILL)
            progress.say("a replica is dead; its calls are still to be hung up")
            await eventually(lambda: stack.sandbox.control("GET", "state")["calls"]["live"] == 0)
            await eventually(lambda: deadlines_are_met(stack))
        return {"calls": rounds, **_judge(stack, rounds)}


async def idle(progress: Progress, rounds: int) -> Figures:
    """What replicas without a request cost the store, beside no deadline and beside ``rounds`` far ones."""
    with Stack(peer="static") as stack:
        client = async_onlooker(stack.engine.url)
        async with contextlib.aclosing(client):
            alone = await _scripts(client)
            for number in range(rounds):
                call_id = f"rtc_{number:032}"
                await client.zadd(keys.deadlines(call_id), {f"undelivered:{call_id}": 2**42})
            progress.say(f"{rounds:,} deadlines are planted")
            crowded = await _scripts(client)
            await client.delete(*keys.ALL_DEADLINES)
    # One script at each look, however many deadlines there are; a busy machine looks less often.
    most = 2 * (1 / LOOK_SECONDS + 2 / _WATCHED_SECONDS)
    assert max(alone["scripts"], crowded["scripts"]) <= most, (alone, crowded)
    return {
        "scripts a second of a replica": round(alone["scripts"] / 2, 1),
        "server's microseconds a second of a replica": round(alone["usec"] / 2),
        f"the same beside {rounds:,} deadlines": round(crowded["usec"] / 2),
    }


async def _leave(stack: Stack, http: aiohttp.ClientSession, count: int) -> None:
    """Send so many offers, half to each replica, and go as soon as the provider has all of them."""
    before = _offers(stack)
    handles = [await minted(http, stack.b.url, stack.planted.client_key) for _ in range(count)]
    replicas: tuple[Replica, Replica] = (stack.a, stack.b)
    browsers = [
        asyncio.create_task(relay(http, replicas[number % 2].url, handle))
        for number, handle in enumerate(handles)
    ]
    await eventually(lambda: _offers(stack) == before + count)
    for browser in browsers:
        browser.cancel()
    left = await asyncio.gather(*browsers, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in left), "a browser got its answer"


def _offers(stack: Stack) -> int:
    """How many offers the provider has had."""
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    return sum(count for path, count in requests.items() if path.endswith("/realtime/calls"))


async def _noted(stack: Stack, http: aiohttp.ClientSession, rounds: int) -> bool:
    """Whether the replicas have seen that all browsers have left, and have written that down."""
    found = [await scrape(http, replica.url) for replica in (stack.a, stack.b)]
    orphaned = sum(one.value("cloakroom_calls_orphaned_total", reason="undelivered") or 0 for one in found)
    pending = sum(one.value("cloakroom_settlements_pending") or 0 for one in found)
    return orphaned == rounds and pending == 0


async def deadlines_are_met(stack: Stack) -> bool:
    async with contextlib.aclosing(async_onlooker(stack.engine.url, decode=False)) as client:
        return not await client.exists(*keys.ALL_DEADLINES)


def _judge(stack: Stack, rounds: int) -> Figures:
    calls: list[dict[str, Any]] = stack.sandbox.control("GET", "calls")["calls"]
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    hangups = [count for path, count in requests.items() if path.endswith("/hangup")]
    wait = GRACE_SECONDS + DELIVERY_SECONDS
    late = sorted(call["ended_at"] - call["created_at"] - wait for call in calls)
    figures: Figures = {
        "hung up": sum(call["end_reason"] == "hangup" for call in calls),
        "asked for twice": sum(count > 1 for count in hangups),
        "too early": sum(one < 0 for one in late),
        "the middle one late by": f"{late[len(late) // 2]:.2f} s",
        "the last one late by": f"{late[-1]:.2f} s",
    }
    assert figures["hung up"] == len(hangups) == rounds, figures
    # The replica that died may have ended a call and not noted it. Then the other one asks again.
    assert figures["too early"] == 0, figures
    return figures


async def _scripts(client: Any) -> dict[str, float]:
    """Scripts that the server runs in a second, and the microseconds that they take."""

    async def total() -> tuple[int, int]:
        stats = (await client.info("commandstats")).get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        return stats["calls"], stats["usec"]

    calls, usec = await total()
    await asyncio.sleep(_WATCHED_SECONDS)
    calls_then, usec_then = await total()
    return {
        "scripts": (calls_then - calls) / _WATCHED_SECONDS,
        "usec": (usec_then - usec) / _WATCHED_SECONDS,
    }


DRILLS: Final = (
    Drill(name="orphans", promise="7", minutes=2, rounds=1000, run=abandoned),
    Drill(name="idle-deadlines", promise="7", minutes=0.5, rounds=PLANTED, run=idle),
)
