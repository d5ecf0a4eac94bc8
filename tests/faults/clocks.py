"""Clocks that differ by up to three minutes: no handle is redeemed past the expiry of its key.

libfaketime moves the clocks of whole processes: the provider in a box, the store's server, and replicas that
mint and relay for each other. Handles of both kinds are presented at every replica, in time and from the very
end of their key on. A deployment that makes calls with its standard key has no provider that would refuse.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson

from app.store import keys
from tests.faults.drill import Drill, Figures, Progress
from tests.support import faketime
from tests.support.api import Reply, mint, relay
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox

OFF: Final = (-90.0, 0.0, 90.0)
# Replicas that are less than a minute apart take each other's handles, so these are the ones to look at.
REPLICAS: Final = (-90.0, -30.0, 0.0, 30.0, 90.0)
# The shortest life that a provider gives a key, and one that outlasts every difference of the clocks.
SHORT: Final = 10
LONG: Final = 240
# Seconds after the key's end. The record of a handle that outlives its key is there from the first of them.
LATE: Final = (0.0, 0.05, 0.3, 1.0)
# When in a second a handle is minted. What the provider's Date says of its clock depends on that.
PHASES: Final = (0.02, 0.27, 0.52, 0.77, 0.97)
# The model of a deployment with this key that makes the calls.
MODELS: Final = {"ephemeral": "gpt-realtime", "standard": "assistant"}
# A handle from the future is let through up to a minute, as app.handles.tokens has it.
_TOLERATED_SECONDS: Final = 60
# A handle may end before its key by so much, besides the time that its mint took.
_LOST_SECONDS: Final = 2.2
_ENDED: Final = {(401, "handle_expired"), (401, "invalid_handle")}


@dataclass(frozen=True, slots=True)
class Minted:
    """A handle. ``ends`` is the end of its key on the true clock at the latest, epoch seconds."""

    text: str
    minter: float
    life: int
    ends: float
    mint_took: float
    offer: bytes


@dataclass(slots=True)
class Tally:
    """What was presented, and what came of it. Seconds of ``record_left`` count from the end of the key."""

    combinations: set[tuple[float, ...]] = field(default_factory=set)
    handles: int = 0
    in_time: int = 0
    refused_in_time: list[str] = field(default_factory=list)
    late: int = 0
    redeemed_late: list[str] = field(default_factory=list)
    offers_late: int = 0
    record_left: list[float] = field(default_factory=list)

    def hold(self) -> None:
        """Raise AssertionError where the promise is broken."""
        assert not self.redeemed_late, f"{len(self.redeemed_late)} of {self.late}: {self.redeemed_late[:5]}"
        assert not self.offers_late, f"{self.offers_late} offers reached the provider past their key's expiry"
        assert max(self.record_left) < 0, f"a record outlived its key by {max(self.record_left):.3f} s"
        assert not self.refused_in_time, f"{len(self.refused_in_time)}: {self.refused_in_time[:5]}"

    def figures(self) -> Figures:
        return {
            "combinations of clocks": len(self.combinations),
            "handles": self.handles,
            "presented past the expiry": self.late,
            "redeemed past the expiry": len(self.redeemed_late),
            "offers at the provider past the expiry": self.offers_late,
            "presented in time": self.in_time,
            "refused in time": len(self.refused_in_time),
            "a record ended before its key by": f"{-max(self.record_left):.2f} to "
            f"{-min(self.record_left):.2f} s",
        }


class Place:
    """A store, a provider and replicas whose clocks differ. ``replicas`` are by how far each is ahead."""

    def __init__(
        self,
        store: faketime.SkewedStore,
        sandbox: Sandbox,
        replicas: Mapping[float, Replica],
        *,
        client_key: str,
        provider: float,
    ) -> None:
        self.store = store
        self._sandbox = sandbox
        self._replicas = replicas
        self._client_key = client_key
        self._provider = provider

    async def check_clocks(self, http: aiohttp.ClientSession) -> None:
        """Raise AssertionError unless each process shows the time that it is meant to."""
        async with async_onlooker(self.store.engine.url, decode=False) as client:
            before = time.time()
            seconds, microseconds = await client.time()
            shown = [(self.store.skew, before, seconds + microseconds / 1e6, time.time())]
        before = time.time()
        state = self._sandbox.control("GET", "state")
        shown.append((self._provider, before, state["clock"]["time"], time.time()))
        for skew, replica in self._replicas.items():
            before = time.time()
            async with http.get(f"{replica.url}/livez") as response:
                # Its second has begun.
                date = parsedate_to_datetime(response.headers["Date"]).timestamp()
            shown.append((skew, before - 1, date, time.time()))
        for skew, before, found, after in shown:
            assert before - 0.01 <= found - skew <= after + 0.01, (skew, before, found, after)

    async def mint(self, http: aiohttp.ClientSession, tally: Tally, model: str, life: int) -> list[Minted]:
        """One handle from each replica in each part of a second."""
        wanted = itertools.product(self._replicas.items(), PHASES)
        minted = await asyncio.gather(*[self._mint(http, one, phase, model, life) for one, phase in wanted])
        tally.handles += len(minted)
        tally.record_left += [left for _, left in minted]
        return [handle for handle, _ in minted]

    async def _mint(
        self, http: aiohttp.ClientSession, at: tuple[float, Replica], phase: float, model: str, life: int
    ) -> tuple[Minted, float]:
        skew, replica = at
        body = {
            "session": {"type": "realtime", "model": model},
            "expires_after": {"anchor": "created_at", "seconds": life},
        }
        await asyncio.sleep((phase - time.time()) % 1)
        before = time.time()
        reply = await mint(http, replica.url, self._client_key, body)
        after = time.time()
        assert reply.status == 200, reply
        # The provider counts whole seconds of its clock.
        ends = math.floor(after + self._provider) + life - self._provider
        handle = Minted(reply.json["value"], skew, life, ends, after - before, fresh_offer())
        return handle, await self.record_left(handle)

    async def present_in_time(
        self, http: aiohttp.ClientSession, handles: Sequence[Minted], tally: Tally
    ) -> None:
        """Each handle once at each replica; those that the replicas' clocks allow must be redeemed."""
        for handle, (skew, replica) in itertools.product(handles, self._replicas.items()):
            own = handle.offer if skew == handle.minter else fresh_offer()
            reply = await relay(http, replica.url, handle.text, own)
            ahead, left = skew - handle.minter, handle.ends - time.time()
            tally.combinations.add((self.store.skew, self._provider, handle.minter, skew))
            due = left - handle.mint_took - _LOST_SECONDS > max(ahead, 0) and -ahead <= _TOLERATED_SECONDS
            tally.in_time += due
            if due and reply.status != 201:
                tally.refused_in_time.append(self._told(handle, skew, reply))

    async def present_late(
        self, http: aiohttp.ClientSession, handles: Sequence[Minted], tally: Tally
    ) -> None:
        """Each handle again and again at each replica, from the end of its key on, old offer and new."""
        before = self._offers()

        async def present(handle: Minted, skew: float, after: float, offer: bytes) -> None:
            await asyncio.sleep(max(handle.ends + after - time.time(), 0))
            assert time.time() >= handle.ends
            reply = await relay(http, self._replicas[skew].url, handle.text, offer)
            tally.late += 1
            if reply.status == 201 or (reply.status, reply.code) not in _ENDED:
                tally.redeemed_late.append(self._told(handle, skew, reply))

        await asyncio.gather(
            *[
                present(handle, skew, after, handle.offer if number % 2 else fresh_offer())
                for handle, skew in itertools.product(handles, self._replicas)
                for number, after in enumerate(LATE)
            ]
        )
        tally.offers_late += self._offers() - before

    async def record_left(self, handle: Minted) -> float:
        """Seconds of the record's life after its key's, at the least that they can be."""
        async with async_onlooker(self.store.engine.url, decode=False) as client:
            before = time.time()
            left = await client.pttl(keys.handle(claims_of(handle.text)["jti"])) / 1000
        return float(before + left - handle.ends)

    def _offers(self) -> int:
        requests: dict[str, int] = self._sandbox.control("GET", "state")["requests"]
        return sum(count for path, count in requests.items() if path.endswith("/calls"))

    def _told(self, handle: Minted, skew: float, reply: Reply) -> str:
        code = reply.code if reply.status != 201 else ""
        clocks = f"store {self.store.skew:+g}, provider {self._provider:+g}, minted at {handle.minter:+g}"
        return f"{clocks}, presented at {skew:+g}: {reply.status} {code}"


@asynccontextmanager
async def place(*, store: float, provider: float, replicas: Sequence[float]) -> AsyncIterator[Place]:
    """Start all of it with clocks that are ahead by so many seconds."""
    planted = Planted()
    with ExitStack() as resources:
        server = resources.enter_context(faketime.SkewedStore(store))
        sandbox = resources.enter_context(
            Sandbox(
                "--peer",
                "static",
                openai_key=planted.openai_key,
                azure_key=planted.azure_key,
                prefix=faketime.prefix(provider),
            )
        )
        environment = _environment(planted, server, sandbox)

        def start(skew: float) -> Replica:
            name, prefix = f"ahead-{skew:g}", faketime.prefix(skew)
            return resources.enter_context(Replica(name, environment, prefix=prefix))

        started = await asyncio.gather(*[asyncio.to_thread(start, skew) for skew in replicas])
        pids = [sandbox.pid, *[replica.pid for replica in started]]
        try:
            yield Place(
                server,
                sandbox,
                dict(zip(replicas, started, strict=True)),
                client_key=planted.client_key,
                provider=provider,
            )
        finally:
            await asyncio.to_thread(resources.close)
            for pid in pids:
                faketime.forget(pid)


def _environment(planted: Planted, store: faketime.SkewedStore, sandbox: Sandbox) -> dict[str, str]:
    way = {"provider": "openai", "base_url": f"{sandbox.url}/v1", "api_key": planted.openai_key}
    deployments: dict[str, Any] = {
        call_key: {**way, "call_key": call_key, "model": "gpt-realtime-mini"} for call_key in MODELS
    }
    models = {model: call_key for call_key, model in MODELS.items()}
    return planted.environment(
        CLOAKROOM_REDIS_URL=store.engine.url,
        # Handles from the future come from one address.
        CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE="0",
        CLOAKROOM_DEPLOYMENTS=orjson.dumps(deployments).decode(),
        CLOAKROOM_MODELS=orjson.dumps(models).decode(),
    )


async def at_place(tally: Tally, *, store: float, provider: float, replicas: Sequence[float]) -> None:
    """Mint, present in time and present late, in one place."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        place(store=store, provider=provider, replicas=replicas) as here,
    ):
        await here.check_clocks(http)
        lasting = await here.mint(http, tally, MODELS["ephemeral"], LONG)
        short = [handle for model in MODELS.values() for handle in await here.mint(http, tally, model, SHORT)]
        await here.present_in_time(http, [*short, *lasting], tally)
        await here.present_late(http, short, tally)


async def clocks(progress: Progress, rounds: int) -> Figures:
    """One place a round: each difference of the store's and the provider's clocks in turn."""
    tally = Tally()
    places = list(itertools.product(OFF, OFF))
    for number in range(rounds):
        store, provider = places[number % len(places)]
        await at_place(tally, store=store, provider=provider, replicas=REPLICAS)
        tally.hold()
        progress.at(number + 1, rounds, f"places, {tally.late:,} presented past the expiry")
    return tally.figures()


DRILLS = (Drill("clocks", "13", minutes=4, rounds=9, run=clocks),)
