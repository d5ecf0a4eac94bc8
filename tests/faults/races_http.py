"""Eight relays at once of different offers with a handle that is good for one call, over two real replicas.

Each replica reaches the store through a fault proxy. The provider in a box counts the offers that it got:
never more than there were winners. ``races`` has the bulk of the races, at the store.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import orjson

from tests.faults.drill import Drill, Figures, Progress
from tests.faults.races import AT_ONCE, RATES
from tests.support.clocks import eventually
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.offers import fresh_offer
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.stack import Stack

_BLOCK: Final = 250
_RACES_AT_ONCE: Final = 6
_STORE_SECONDS: Final = 0.8
_STALL_SECONDS: Final = 0.9
_WON: Final = (201, "")
_ALLOWED: Final = {_WON, (409, "handle_spent"), (503, "store_unavailable")}

Outcome = tuple[int, str]


@dataclass(slots=True)
class Tally:
    """What the races came to; ``open`` are the handles of those in which nobody heard of a win."""

    decided: int = 0
    doubles: int = 0
    replies: Counter[Outcome] = field(default_factory=Counter)
    open: list[str] = field(default_factory=list)


@asynccontextmanager
async def replicas_behind_proxies(
    stack: Stack, rates: Mapping[Fault, float]
) -> AsyncIterator[tuple[Sequence[Replica], Sequence[FaultProxy]]]:
    """Two replicas whose handles are good for one call, each behind a proxy in this loop."""
    async with (
        FaultProxy(stack.engine.port, rates, seed=3, stall=_STALL_SECONDS) as first,
        FaultProxy(stack.engine.port, rates, seed=4, stall=_STALL_SECONDS) as second,
    ):
        proxies = (first, second)
        started = []
        for number, proxy in enumerate(proxies):
            settings = {
                "CLOAKROOM_REDIS_URL": proxy.url_instead_of(stack.store_url),
                "CLOAKROOM_STORE_TIMEOUT_SECONDS": f"{_STORE_SECONDS}",
                "CLOAKROOM_HANDLE_MAX_CALLS": "1",
            }
            proxy.quiet = True
            # It waits for its store, which it finds through this loop.
            started.append(await asyncio.to_thread(_start, stack, f"racer-{number}", settings))
            proxy.quiet = False
        try:
            yield started, proxies
        finally:
            for replica in started:
                await asyncio.to_thread(replica.stop)


def _start(stack: Stack, name: str, settings: Mapping[str, str]) -> Replica:
    return stack.replica(name, **settings)


class Racers:
    """The browsers, and the backend that mints for them."""

    def __init__(self, http: aiohttp.ClientSession, replicas: Sequence[Replica], client_key: str) -> None:
        self._http = http
        self._replicas = replicas
        self._mint_headers = {"Authorization": f"Bearer {client_key}"}

    async def _post(
        self, number: int, path: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        url = f"{self._replicas[number % len(self._replicas)].url}/v1/realtime/{path}"
        async with self._http.post(url, data=data, headers=headers) as response:
            return response.status, await response.read()

    async def mint(self, number: int) -> str:
        """Mint, as often as it takes while the store is away."""
        headers = {**self._mint_headers, "Content-Type": "application/json"}

        async def minted() -> str:
            status, body = await self._post(number, "client_secrets", b'{"model":"gpt-realtime"}', headers)
            assert status in (200, 503), body
            return str(orjson.loads(body)["value"]) if status == 200 else ""

        return str(await eventually(minted, "a store that answers"))

    async def relay(self, number: int, handle: str) -> Outcome:
        """Relay a fresh offer: the status, and an error's code."""
        headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"}
        status, body = await self._post(number, "calls", fresh_offer(), headers)
        return status, "" if status == 201 else str(orjson.loads(body)["error"]["code"])

    async def race(self, number: int, tally: Tally) -> None:
        """One race, and one more offer that comes late."""
        handle = await self.mint(number)
        outcomes = Counter(await asyncio.gather(*[self.relay(one, handle) for one in range(AT_ONCE)]))
        won = outcomes[_WON]
        if won:
            outcomes[await self.relay(number, handle)] += 1
        else:
            tally.open.append(handle)
        tally.replies += outcomes
        tally.decided += won == 1
        tally.doubles += outcomes[_WON] > 1
        assert outcomes.keys() <= _ALLOWED, outcomes

    async def settled(self) -> None:
        """Wait until no replica has anything left to write."""

        async def nothing_left() -> bool:
            seen = [await scrape(self._http, replica.url) for replica in self._replicas]
            return not any(one.value("cloakroom_settlements_pending") for one in seen)

        await eventually(nothing_left, "settled claims")


async def races_http(progress: Progress, rounds: int) -> Figures:
    """Race until so many races had a winner, on a stack that ends afterwards."""
    with Stack(peer="static") as stack:
        return await races_on(stack, progress, rounds)


async def races_on(stack: Stack, progress: Progress, rounds: int) -> Figures:
    """Race until so many races had a winner, and nobody else asks this stack's provider for calls."""
    tally, before, number = Tally(), _calls(stack), 0
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        replicas_behind_proxies(stack, RATES) as (replicas, proxies),
    ):
        racers = Racers(http, replicas, stack.planted.client_key)
        slots = asyncio.Semaphore(_RACES_AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await racers.race(number, tally)

        while tally.decided < rounds:
            size = min(_BLOCK, rounds - tally.decided)
            await asyncio.gather(*[one(number + more) for more in range(size)])
            number += size
            await _finish_the_open(racers, proxies, tally)
            _hold(tally, *(now - then for now, then in zip(_calls(stack), before, strict=True)))
            progress.at(tally.decided, rounds, "races over HTTP")
        struck = proxies[0].struck + proxies[1].struck
    sent, opened = (now - then for now, then in zip(_calls(stack), before, strict=True))
    return {
        "races with a winner": tally.decided,
        "double wins": tally.doubles,
        "offers at the provider": sent,
        "calls at the provider": opened,
        "relays that won": tally.replies[_WON],
        **{f"relays with {code}": count for (_, code), count in sorted(tally.replies.items()) if code},
        **{f"faults: {fault.value}": struck[fault] for fault in Fault},
    }


async def _finish_the_open(racers: Racers, proxies: Sequence[FaultProxy], tally: Tally) -> None:
    """Where nobody heard of a win, the use is free again once all is settled: one more offer has it."""
    for proxy in proxies:
        proxy.quiet = True
    await racers.settled()
    for number, handle in enumerate(tally.open):
        outcomes = [await racers.relay(number + one, handle) for one in range(2)]
        assert outcomes[0] == _WON, f"the use of a handle that nobody won is gone: {outcomes}"
        tally.doubles += outcomes[1] == _WON
        tally.replies.update(outcomes)
    tally.open.clear()
    for proxy in proxies:
        proxy.quiet = False


def _calls(stack: Stack) -> tuple[int, int]:
    """How many offers the provider has had, and how many calls it has opened."""
    state = stack.sandbox.control("GET", "state")
    sent = sum(count for path, count in state["requests"].items() if path.endswith("/calls"))
    return sent, int(state["calls"]["opened"])


def _hold(tally: Tally, sent: int, opened: int) -> None:
    assert tally.doubles == 0, f"{tally.doubles} double wins in {tally.decided:,} races"
    won = tally.replies[_WON]
    assert sent == opened == won, f"{won:,} winners, {sent:,} offers and {opened:,} calls at the provider"


DRILLS = (Drill("races-http", "5", minutes=4, rounds=10_000, run=races_http),)
