"""Failovers under load: which acknowledged handles are lost, and which limited ones are used too often.

Half of our replicas wait for the store's (``CLOAKROOM_STORE_WAIT_REPLICAS``), half do not. Both halves live
through the same failovers. For the first half nothing may be lost. For the second half it is told what was.

A primary is killed, stopped, and replaced while it runs, by turns. In two rounds of three its replication
links end 50 ms before: all of them, or one of several.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import Reply, mint, relay
from tests.support.clocks import PATIENCE, eventually
from tests.support.failover import ClusterStore, Failover, SentinelStore, cut, mend
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox

CUT_BEFORE_SECONDS: Final = 0.05
_LOAD_SECONDS: Final = 0.6
_WORKERS: Final = 4
_PAUSE_SECONDS: Final = 0.08
_CHECKS_AT_ONCE: Final = 8
_CUTS: Final = ("all", "none", "one")
_ENDS: Final = (signal.SIGKILL, signal.SIGSTOP, None)
_FAILURES: Final = (aiohttp.ClientError, TimeoutError)


@dataclass
class Held:
    """An acknowledged handle for one call, and what became of it. ``unsure``: uses without an answer."""

    handle: str
    used: int = 0
    unsure: int = 0
    lost: bool = False
    checked: bool = False


@dataclass
class Half:
    """Two replicas with the same settings, their provider, and the handles that they gave."""

    name: str
    planted: Planted
    sandbox: Sandbox
    replicas: Sequence[Replica]
    held: list[Held] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    async def mint(self, http: aiohttp.ClientSession, at: Replica) -> Held | None:
        """Mint at a replica; None where it gave no handle."""
        try:
            reply = await mint(http, at.url, self.planted.client_key)
        except _FAILURES:
            self.refused["no answer"] += 1
            return None
        if reply.status != 200:
            self.refused[reply.code] += 1
            return None
        self.held.append(held := Held(str(reply.json["value"])))
        return held

    async def use(self, http: aiohttp.ClientSession, held: Held, at: Replica) -> str:
        """Present a fresh offer; return ``used``, ``later`` or the error's code."""
        try:
            reply = await relay(http, at.url, held.handle)
        except _FAILURES:
            held.unsure += 1
            return "no answer"
        return _noted(held, reply)

    async def serve(self, http: aiohttp.ClientSession) -> None:
        """Return when every replica mints, and relays what it minted."""
        for replica in self.replicas:

            async def serves(replica: Replica = replica) -> bool:
                held = await self.mint(http, replica)
                return held is not None and await self.use(http, held, replica) == "used"

            await eventually(serves, f"{self.name}: {replica.name} does not serve again")

    async def check(self, http: aiohttp.ClientSession) -> None:
        """Use each handle that was not checked yet until it is spent, once too often if that is possible."""
        unchecked = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def spend(held: Held) -> None:
            async with unchecked:
                deadline = asyncio.get_running_loop().time() + PATIENCE
                while not held.lost and held.used < 2:
                    assert asyncio.get_running_loop().time() < deadline, f"{self.name}: no end of {held}"
                    told = await self.use(http, held, random.choice(self.replicas))
                    if told == "handle_spent":
                        break
                held.checked = True

        await asyncio.gather(*(spend(held) for held in self.held if not held.checked))

    def used_too_often(self) -> int:
        """Handles with more than one call, by what callers were told and by what the provider has."""
        calls = self.sandbox.control("GET", "calls")["calls"]
        by_key = Counter(call["key_sha256"] for call in calls)
        return max(sum(held.used > 1 for held in self.held), sum(count > 1 for count in by_key.values()))

    def figures(self) -> Figures:
        return {
            f"{self.name}: handles acknowledged": len(self.held),
            f"{self.name}: lost": sum(held.lost for held in self.held),
            f"{self.name}: used too often": self.used_too_often(),
            f"{self.name}: spent without a call": sum(
                held.checked and not (held.used or held.unsure or held.lost) for held in self.held
            ),
            f"{self.name}: mints refused": sum(self.refused.values()),
        }


def _noted(held: Held, reply: Reply) -> str:
    if reply.status == 201:
        held.used += 1
        return "used"
    code = reply.code
    if code == "handle_expired":
        held.lost = True
    elif code != "handle_spent" and reply.status != 503:
        # The offer may have been sent.
        held.unsure += 1
    return code


async def fail_over(store: Failover, progress: Progress, rounds: int) -> Figures:
    """Lose a primary ``rounds`` times.

    Raises:
        AssertionError: with the setting something was lost, or used too often.
    """
    planted = Planted()
    with ExitStack() as stack:
        halves = [
            # One that was not waited for could take over beside a primary that runs.
            _half(
                stack, "waiting", store, CLOAKROOM_STORE_WAIT_REPLICAS=f"{_replicas(store)}", planted=planted
            ),
            _half(stack, "not waiting", store, planted=planted),
        ]
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            for half in halves:
                await half.serve(http)
            for number in range(rounds):
                await _round(store, number, halves, http)
                told = ", ".join(f"{name} {figure}" for half in halves for name, figure in _short(half))
                progress.at(number + 1, rounds, f"failovers: {told}")
        figures: Figures = {"failovers": rounds}
        for half in halves:
            figures |= half.figures()
    waiting = halves[0]
    assert len(waiting.held) > rounds, figures
    assert not any(held.lost for held in waiting.held), figures
    assert figures["waiting: used too often"] == 0, figures
    return figures


def _replicas(store: Failover) -> int:
    return len(store.heirs(store.victim()))


def _short(half: Half) -> Iterable[tuple[str, int]]:
    yield f"{half.name} kept", sum(held.checked and not held.lost for held in half.held)
    yield "lost", sum(held.lost for held in half.held)
    yield "twice", sum(held.used > 1 for held in half.held)


def _half(stack: ExitStack, name: str, store: Failover, *, planted: Planted, **settings: str) -> Half:
    keys = {"openai_key": planted.openai_key, "azure_key": planted.azure_key}
    sandbox = stack.enter_context(Sandbox("--peer", "static", **keys))
    environment = planted.environment(
        CLOAKROOM_REDIS_URL=store.url,
        CLOAKROOM_STORE_TIMEOUT_SECONDS="0.8",
        CLOAKROOM_HANDLE_MAX_CALLS="1",
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL=f"{sandbox.url}/v1",
        **settings,
    )
    names = [f"{name.replace(' ', '-')}-{letter}" for letter in "ab"]
    replicas = [stack.enter_context(Replica(replica, environment)) for replica in names]
    return Half(name, planted, sandbox, replicas)


async def _round(store: Failover, number: int, halves: Sequence[Half], http: aiohttp.ClientSession) -> None:
    """One failover under load, then the repair, then a look at every handle."""
    stop = asyncio.Event()
    load = [
        asyncio.create_task(_load(half, http, random.Random(f"{number} {half.name} {worker}"), stop))
        for half in halves
        for worker in range(_WORKERS)
    ]
    try:
        await asyncio.sleep(_LOAD_SECONDS)
        victim = store.victim()
        heirs = store.heirs(victim)
        end = _ENDS[number % len(_ENDS)]
        apart = {"all": heirs, "none": [], "one": heirs[:1]}[_CUTS[number // len(_ENDS) % len(_CUTS)]]
        if apart:
            await asyncio.to_thread(cut, victim, apart)
            await asyncio.sleep(CUT_BEFORE_SECONDS)
        if end is not None:
            os.kill(victim.pid, end)
        mend(apart)
        if end is None:
            await asyncio.to_thread(store.replace, victim)
        await eventually(lambda: asyncio.to_thread(store.switched, victim), "nobody took over")
        await asyncio.sleep(_LOAD_SECONDS)
        await asyncio.to_thread(store.repair, victim)
    finally:
        stop.set()
        await asyncio.gather(*load)
    for half in halves:
        await half.serve(http)
        await half.check(http)


async def _load(half: Half, http: aiohttp.ClientSession, chance: random.Random, stop: asyncio.Event) -> None:
    """Mint, and use every other handle at once, at replicas by chance."""
    while not stop.is_set():
        held = await half.mint(http, chance.choice(half.replicas))
        if held is not None and chance.random() < 0.5:
            await half.use(http, held, chance.choice(half.replicas))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _sentinel(progress: Progress, rounds: int) -> Figures:
    with SentinelStore(Planted().store_password) as store:
        return await fail_over(store, progress, rounds)


async def _cluster(progress: Progress, rounds: int) -> Figures:
    with ClusterStore(Planted().store_password) as store:
        return await fail_over(store, progress, rounds)


DRILLS = (
    Drill("kept-by-sentinel", "1", minutes=4, rounds=30, run=_sentinel),
    Drill("kept-by-cluster", "1", minutes=2, rounds=10, run=_cluster),
)
