"""Stalls of the store under load: which requests fail, and that those which have the time are answered.

The server stands still (SIGSTOP), runs a slow command of another tenant, or forks while it is full. A request
that came before its silence was noticed waits, and is answered when the store is back. One that comes later
fails at once, so that nothing is minted which could not be stored.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from tests.faults.drill import Drill, Figures, Progress, many_at_once
from tests.support.api import mint, minted, relay
from tests.support.clocks import eventually
from tests.support.onlooker import async_onlooker
from tests.support.processes import Replica
from tests.support.stack import Stack

# The silence after which the store counts as down; the service's default.
SILENCE: Final = 0.8
STALLS: Final = (0.2, 0.6, 0.9, 1.4, 2.0)
# A request that begins so long before the silence is noticed has arrived by then.
_ARRIVED_SECONDS: Final = 0.3
# Bytes on a server that is full enough for a fork to take a while.
_FILL_BYTES: Final = 160 * 2**20
_VALUE_BYTES: Final = 2**10
_EVERY_SECONDS: Final = 0.025
_AROUND_SECONDS: Final = 0.7
# For a slow command of a known length.
_DEBUG_COMMAND: Final = ("--enable-debug-command", "local")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: when it began, in seconds after the stall did, and how long it took."""

    begun: float
    took: float
    answered: bool


@dataclass(frozen=True, slots=True)
class Stall:
    """One stall, and everything that was asked around it."""

    what: str
    seconds: float
    asked: Sequence[Asked]

    @property
    def failed(self) -> list[Asked]:
        return [one for one in self.asked if not one.answered]

    @property
    def during(self) -> list[Asked]:
        """What began while it lasted."""
        return [one for one in self.asked if 0 <= one.begun < self.seconds]

    @property
    def slowest(self) -> float:
        """Of the answers, in seconds."""
        return max((one.took for one in self.asked if one.answered), default=0.0)

    @property
    def wrongly_failed(self) -> list[Asked]:
        """Failures of requests that had the time: before the silence was noticed, or in a stall too short."""
        noticed = SILENCE if self.seconds > SILENCE - _ARRIVED_SECONDS else float("inf")
        return [one for one in self.failed if one.begun < noticed - _ARRIVED_SECONDS]

    def line(self) -> str:
        """What happened, for people."""
        told = _together([self])
        if not self.failed:
            return told
        median = statistics.median(one.took for one in self.failed)
        last = max(one.begun for one in self.failed) - self.seconds
        return f"{told}; failures: {median * 1000:.0f} ms (median), the last began {last:+.2f} s from the end"


async def _ask(
    http: aiohttp.ClientSession,
    stack: Stack,
    replica: Replica,
    handle: str | None,
    asked: list[Asked],
    zero: float,
) -> None:
    begun = time.monotonic()
    if handle is None:
        reply = await mint(http, replica.url, stack.planted.client_key)
    else:
        reply = await relay(http, replica.url, handle)
    asked.append(Asked(begun - zero, time.monotonic() - begun, reply.status < 300))


@asynccontextmanager
async def _load(http: aiohttp.ClientSession, stack: Stack, asked: list[Asked]) -> AsyncIterator[float]:
    """Mint and relay at both replicas in a steady rhythm; yields the moment from which times count."""
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    zero = time.monotonic() + _AROUND_SECONDS
    tasks: list[asyncio.Task[None]] = []

    async def send() -> None:
        for replica, kind in itertools.cycle(itertools.product((stack.a, stack.b), (None, handle))):
            tasks.append(asyncio.create_task(_ask(http, stack, replica, kind, asked, zero)))
            await asyncio.sleep(_EVERY_SECONDS)

    sender = asyncio.create_task(send())
    try:
        await asyncio.sleep(zero - time.monotonic())
        yield zero
        await asyncio.sleep(_AROUND_SECONDS)
    finally:
        sender.cancel()
        await asyncio.gather(*tasks)


async def stand_still(stack: Stack, seconds: float) -> None:
    """Stop the server for so long."""
    os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(stack.engine.pid, signal.SIGCONT)


async def be_busy(stack: Stack, seconds: float) -> None:
    """Let another tenant's command run for so long."""
    async with async_onlooker(stack.engine.url, decode=False) as tenant:
        await tenant.execute_command("DEBUG", "SLEEP", seconds)


async def fork(stack: Stack, seconds: float) -> None:
    """Fill the server and let it fork. ``seconds`` is how long to look at it."""
    async with async_onlooker(stack.engine.url, decode=False) as tenant:
        await tenant.bgsave()
        await asyncio.sleep(seconds)


async def stalled(stack: Stack, http: aiohttp.ClientSession, what: str, seconds: float) -> Stall:
    """Stall the store once under load.

    ``what`` is ``still``, ``busy`` or ``fork``.
    """
    asked: list[Asked] = []
    cause = {"still": stand_still, "busy": be_busy, "fork": fork}[what]
    async with _load(http, stack, asked) as zero:
        await cause(stack, seconds)
        lasted = time.monotonic() - zero

    async def ready() -> bool:
        statuses = []
        for replica in (stack.a, stack.b):
            async with http.get(f"{replica.url}/readyz") as response:
                statuses.append(response.status)
        return statuses == [200, 200]

    await eventually(ready, "a replica is not ready again")
    return Stall(what, lasted, asked)


def _together(stalls: Sequence[Stall]) -> str:
    failed = sum(len(found.failed) for found in stalls)
    during = sum(len(found.during) for found in stalls)
    slowest = max(found.slowest for found in stalls)
    return f"{failed} of {during} failed; slowest answer {slowest:.2f} s"


async def _fill(stack: Stack) -> None:
    async with async_onlooker(stack.engine.url, decode=False) as tenant:
        value = "x" * _VALUE_BYTES
        for first in range(0, _FILL_BYTES // _VALUE_BYTES, 2000):
            pipeline = tenant.pipeline(transaction=False)
            for at in range(first, first + 2000):
                pipeline.set(f"tenant:{at}", value)
            await pipeline.execute()


async def stall(progress: Progress, rounds: int) -> Figures:
    """Stall the store in each way and for each time, ``rounds`` times.

    Raises:
        AssertionError: a request failed that had the time to wait.
    """
    plan = [*itertools.product(("still", "busy"), STALLS), ("fork", 1.0)]
    stalls: dict[str, list[Stall]] = {}
    wrong: list[str] = []
    with Stack(
        peer="static", engine_arguments=_DEBUG_COMMAND, CLOAKROOM_STORE_TIMEOUT_SECONDS=f"{SILENCE}"
    ) as stack:
        await _fill(stack)
        async with many_at_once() as http:
            for at, (what, seconds) in enumerate(plan * rounds):
                found = await stalled(stack, http, what, seconds)
                stalls.setdefault(f"{what} {seconds:g} s", []).append(found)
                if found.wrongly_failed:
                    wrong.append(f"{what} {seconds:g} s: {found.wrongly_failed}")
                progress.at(at + 1, len(plan) * rounds, f"stalls; {what} {seconds:g} s: {found.line()}")
    figures: Figures = {name: _together(found) for name, found in stalls.items()}
    assert not wrong, (figures, wrong)
    return figures


DRILLS = (Drill("stalls", "4", minutes=1.5, rounds=3, run=stall),)
