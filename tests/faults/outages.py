"""Failovers under load: how long each of our replicas fails requests, and how many fail in a Cluster.

A primary is killed and stopped by turns. In some rounds what stands beside it is lost as well: a replica of
the store, and with Sentinel also the Sentinel that our replicas ask first.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from app.store.embedded.engine import LocalEngine
from tests.faults.drill import Drill, Figures, Progress, many_at_once
from tests.support.api import mint, minted, relay
from tests.support.clocks import eventually
from tests.support.cluster import command
from tests.support.failover import ClusterStore, Failover, SentinelStore
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox

# Seconds that a replica may fail requests after the store's switch.
LATEST: Final = 1.0
# In a Cluster, of the requests from the loss to a second after the switch.
_RELAYS_ANSWERED: Final = 0.60
_MINTS_ANSWERED: Final = 0.99

_BEFORE_SECONDS: Final = 0.5
_AFTER_SECONDS: Final = 1.5
_EVERY_SECONDS: Final = 0.05
_HANDLES: Final = 60
_LOOK_SECONDS: Final = 0.01
_FAILURES: Final = (aiohttp.ClientError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its end, in seconds of one clock."""

    replica: str
    kind: str
    begun: float
    ended: float
    answered: bool


@dataclass
class Service:
    """Two replicas over one store."""

    planted: Planted
    replicas: Sequence[Replica]
    handles: Sequence[str] = ()
    asked: list[Asked] = field(default_factory=list)

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Return when every replica mints, with handles to relay."""
        for replica in self.replicas:

            async def mints(replica: Replica = replica) -> bool:
                return (await mint(http, replica.url, self.planted.client_key)).status == 200

            await eventually(mints, f"{replica.name} does not mint")
        key = self.planted.client_key
        self.handles = [await minted(http, self.replicas[0].url, key) for _ in range(_HANDLES)]

    async def load(self, http: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        """Mint and relay at each replica in a steady rhythm, however long answers take."""
        open_requests: set[asyncio.Task[None]] = set()
        chance = random.Random(1)
        for kind in itertools.cycle(("mint", "relay")):
            for replica in self.replicas:
                task = asyncio.create_task(self._ask(http, replica, kind, chance.choice(self.handles)))
                open_requests.add(task)
                task.add_done_callback(open_requests.discard)
            await asyncio.sleep(_EVERY_SECONDS / 2)
            if stop.is_set():
                break
        await asyncio.gather(*open_requests)

    async def _ask(self, http: aiohttp.ClientSession, replica: Replica, kind: str, handle: str) -> None:
        begun = time.monotonic()
        try:
            if kind == "mint":
                reply = await mint(http, replica.url, self.planted.client_key)
            else:
                reply = await relay(http, replica.url, handle)
            answered = reply.status < 300
        except _FAILURES:
            answered = False
        self.asked.append(Asked(replica.name, kind, begun, time.monotonic(), answered))


@dataclass(frozen=True, slots=True)
class Outage:
    """One failover: what was lost, when the store switched, and what was asked since the loss."""

    what: str
    switch: float  # seconds after the loss
    delays: dict[str, float]  # seconds after the switch, until which a replica failed requests
    asked: Sequence[Asked]
    meanwhile: Counter[str]  # of requests from the loss to the switch, those that were answered, by kind

    def share(self, kind: str) -> float:
        """Of the requests of this kind, those that were answered."""
        found = [one for one in self.asked if one.kind == kind]
        return sum(one.answered for one in found) / max(len(found), 1)


def _service(stack: ExitStack, store: Failover) -> Service:
    planted = Planted()
    keys = {"openai_key": planted.openai_key, "azure_key": planted.azure_key}
    sandbox = stack.enter_context(Sandbox("--peer", "static", **keys))
    environment = planted.environment(
        CLOAKROOM_REDIS_URL=store.url,
        # The defaults of the service.
        CLOAKROOM_STORE_TIMEOUT_SECONDS="0.8",
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL=f"{sandbox.url}/v1",
    )
    return Service(planted, [stack.enter_context(Replica(f"replica-{name}", environment)) for name in "ab"])


async def _fail_over(
    service: Service,
    store: Failover,
    http: aiohttp.ClientSession,
    *,
    victim: LocalEngine,
    beside: Sequence[LocalEngine],
    how: signal.Signals,
) -> Outage:
    """Lose a primary under load, and what is beside it; return when the load has ended."""
    await service.ready(http)
    service.asked.clear()
    heirs = [node for node in store.heirs(victim) if node not in beside]
    stop = asyncio.Event()
    load = asyncio.create_task(service.load(http, stop))
    try:
        await asyncio.sleep(_BEFORE_SECONDS)
        lost = time.monotonic()
        for engine in (*beside, victim):
            os.kill(engine.pid, how)

        def switched() -> bool:
            # In a Cluster the new primary itself tells of it. Elsewhere only Sentinels do, a little later.
            if isinstance(store, ClusterStore):
                return any(command(heir, "ROLE")[0] == "master" for heir in heirs)
            return store.switched(victim, *beside)

        await eventually(lambda: asyncio.to_thread(switched), "no replica of the store took over")
        switch = time.monotonic()
        await asyncio.sleep(_AFTER_SECONDS)
        await eventually(
            lambda: asyncio.to_thread(store.switched, victim, *beside), "the store is not whole again"
        )
    finally:
        stop.set()
        await load
    failed = [one for one in service.asked if not one.answered and one.ended > lost]
    name = "stopped" if how is signal.SIGSTOP else "killed"
    return Outage(
        f"{name}{', with what is beside it' if beside else ''}",
        switch - lost,
        {
            replica.name: max(
                (one.ended - switch for one in failed if one.replica == replica.name), default=0
            )
            for replica in service.replicas
        },
        [one for one in service.asked if one.ended > lost and one.begun < switch + LATEST],
        Counter(
            one.kind for one in service.asked if one.answered and one.begun > lost and one.ended < switch
        ),
    )


def _told(outages: Sequence[Outage]) -> Figures:
    delays = sorted(max(0.0, late) for outage in outages for late in outage.delays.values())
    return {
        "failovers": len(outages),
        "longest until the store's switch, s": round(max(outage.switch for outage in outages), 2),
        "longest failing after the switch, s": round(delays[-1], 2),
        "median of these, s": round(delays[len(delays) // 2], 2),
    }


def _check(outages: Sequence[Outage], figures: Figures, latest: float) -> None:
    late = [(outage.what, outage.delays) for outage in outages if max(outage.delays.values()) > latest]
    assert not late, (figures, late)


async def by_sentinel(progress: Progress, rounds: int, *, first: int = 0, latest: float = LATEST) -> Figures:
    """Lose the primary that Sentinels watch ``rounds`` times, beginning with the round ``first``.

    Raises:
        AssertionError: a replica failed requests later than ``latest`` seconds after a switch.
    """
    outages = []
    with ExitStack() as stack:
        store = stack.enter_context(SentinelStore(Planted().store_password, sentinels=3))
        service = _service(stack, store)
        http = many_at_once()
        async with http:
            for number in range(first, first + rounds):
                victim = store.victim()
                beside = [store.heirs(victim)[0], store.weak_sentinel] if number % 3 == 2 else []
                how = (signal.SIGKILL, signal.SIGSTOP)[number % 2]
                outage = await _fail_over(service, store, http, victim=victim, beside=beside, how=how)
                outages.append(outage)
                await asyncio.to_thread(store.repair, victim, *beside)
                progress.at(len(outages), rounds, f"failovers; {outage.what}: {_shown(outage)}")
    figures = _told(outages)
    _check(outages, figures, latest)
    return figures


async def in_a_cluster(
    progress: Progress,
    rounds: int,
    *,
    latest: float = LATEST,
    relays_answered: float = _RELAYS_ANSWERED,
    mints_answered: float = _MINTS_ANSWERED,
) -> Figures:
    """Lose a primary of a Cluster ``rounds`` times.

    Raises:
        AssertionError: a replica failed requests later than ``latest`` seconds after a switch, or more than
            the lost primary's share failed.
    """
    outages: list[Outage] = []
    while len(outages) < rounds:
        with ExitStack() as stack:
            store = stack.enter_context(
                ClusterStore(
                    Planted().store_password,
                    replicas=4,
                    arguments=("--cluster-require-full-coverage", "no"),
                )
            )
            service = _service(stack, store)
            async with many_at_once() as http:
                for number in range(min(_ROUNDS_OF_A_CLUSTER, rounds - len(outages))):
                    # The last round of a Cluster loses two servers, which it does not get over.
                    last = number == _ROUNDS_OF_A_CLUSTER - 1
                    victim = _primary_of_two(store) if last else store.victim()
                    beside = store.heirs(victim)[:1] if last else []
                    how = (signal.SIGKILL, signal.SIGSTOP)[len(outages) % 2]
                    outage = await _fail_over(service, store, http, victim=victim, beside=beside, how=how)
                    outages.append(outage)
                    if not last:
                        await asyncio.to_thread(store.repair, victim)
                    progress.at(len(outages), rounds, f"failovers; {outage.what}: {_shown(outage)}")
    figures = _told(outages)
    relays, mints = (min(outage.share(kind) for outage in outages) for kind in ("relay", "mint"))
    everything = [one for outage in outages for one in outage.asked]
    minted_share = sum(one.answered for one in everything if one.kind == "mint") / sum(
        one.kind == "mint" for one in everything
    )
    figures["relays answered during a failover, least, %"] = round(relays * 100, 1)
    figures["mints answered during a failover, least, %"] = round(mints * 100, 1)
    figures["mints answered during failovers, all, %"] = round(minted_share * 100, 1)
    _check(outages, figures, latest)
    assert all(outage.meanwhile["relay"] and outage.meanwhile["mint"] for outage in outages), figures
    assert relays >= relays_answered, figures
    assert minted_share >= mints_answered, figures
    return figures


_ROUNDS_OF_A_CLUSTER: Final = 5


def _primary_of_two(store: ClusterStore) -> LocalEngine:
    """The primary with two replicas."""
    return next(node for node in iter(store.victim, None) if len(store.heirs(node)) == 2)


def _shown(outage: Outage) -> str:
    delays = ", ".join(f"{late:+.2f}" for late in outage.delays.values())
    shares = ", ".join(f"{kind} {outage.share(kind):.1%}" for kind in ("mint", "relay"))
    return f"switch {outage.switch:.2f} s, failing until {delays} s; {shares}"


DRILLS = (
    Drill("outage-by-sentinel", "3", minutes=5, rounds=30, run=by_sentinel),
    Drill("outage-in-a-cluster", "3", minutes=2, rounds=10, run=in_a_cluster),
)
