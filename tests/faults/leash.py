"""Calls that may last only so long: many are due within a minute while one of the two replicas is killed.

Each has to end at the provider, none too early, and each by one hang-up, except what the dead replica had
just done and not noted.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from app.models import SHORTEST_CALL_SECONDS
from tests.faults.drill import Drill, Figures, Progress
from tests.faults.orphans import deadlines_are_met
from tests.support.api import called, mint
from tests.support.clocks import eventually
from tests.support.stack import Stack

# How many calls a second a client of one process makes here, on a busy machine too.
_MADE_A_SECOND: Final = 100
_AT_ONCE: Final = 16


async def due_within(progress: Progress, rounds: int, *, window: float = 60.0) -> Figures:
    """``rounds`` calls are made, and all are due within ``window`` seconds. Half-way a replica is killed."""
    with Stack(peer="static", sandbox_arguments=("--peer-cap", "100000")) as stack:
        first = time.time() + rounds / _MADE_A_SECOND + SHORTEST_CALL_SECONDS
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            leashes: dict[str, int] = {}
            left = iter(range(rounds))

            async def make() -> None:
                for number in left:
                    call_id, seconds = await _make(stack, http, first + random.uniform(0, window), number)
                    leashes[call_id] = seconds
                    progress.at(len(leashes), rounds, "calls are made")

            await asyncio.gather(*(make() for _ in range(_AT_ONCE)))
            assert time.time() < first, "the machine was too slow to make them in time"
            progress.say(f"the first is due in {first - time.time():.0f} s")
            await asyncio.sleep(first + window / 2 - time.time())
            stack.a.signal(signal.SIGKILL)
            progress.say("a replica is dead")
            await asyncio.sleep(first + window - time.time())
            await eventually(lambda: _live(stack) == 0)
            await eventually(lambda: deadlines_are_met(stack))
        return {"calls": rounds, **_judge(stack, leashes)}


async def _make(stack: Stack, http: aiohttp.ClientSession, due: float, number: int) -> tuple[str, int]:
    replica = (stack.a, stack.b)[number % 2]
    seconds = max(round(due - time.time()), SHORTEST_CALL_SECONDS)
    reply = await mint(
        http, replica.url, stack.planted.client_key, {"session": {}, "max_call_seconds": seconds}
    )
    assert reply.status == 200, reply
    return await called(http, replica.url, str(reply.json["value"])), seconds


def _live(stack: Stack) -> int:
    return int(stack.sandbox.control("GET", "state")["calls"]["live"])


def _judge(stack: Stack, leashes: Mapping[str, int]) -> Figures:
    calls: list[dict[str, Any]] = stack.sandbox.control("GET", "calls")["calls"]
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    hangups = [count for path, count in requests.items() if path.endswith("/hangup")]
    late = sorted(call["ended_at"] - call["created_at"] - leashes[call["call_id"]] for call in calls)
    figures: Figures = {
        "hung up": sum(call["end_reason"] == "hangup" for call in calls),
        "asked for twice": sum(count > 1 for count in hangups),
        "too early": sum(one < 0 for one in late),
        "the middle one late by": f"{late[len(late) // 2]:.2f} s",
        "99 of 100 late by less than": f"{late[len(late) * 99 // 100]:.2f} s",
        "the last one late by": f"{late[-1]:.2f} s",
    }
    assert figures["hung up"] == len(hangups) == len(leashes), figures
    assert figures["too early"] == 0, figures
    return figures


DRILLS: Final = (Drill(name="leash", promise="16", minutes=7, rounds=10_000, run=due_within),)
