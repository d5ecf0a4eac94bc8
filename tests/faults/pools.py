"""Promise 19: a key of the warm pool is handed out once, though replicas are killed in the middle of it.

Callers mint at two replicas, one of which is killed every few seconds and started again. Then the provider
fails, and the callers take what is left in the pool. Afterwards the record of every handle is opened with the
replicas' ring, also of those whose answer was lost: no two may hold the same key. The provider counts what it
has minted, so it is known what the kills lost. Some handles are relayed: the provider sees each call's key.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from app.handles.grants import open_grant
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.sandbox.keys import digest
from app.store import keys
from app.store.pools import PoolBill, PoolStore
from tests.faults.drill import Drill, Figures, Progress, many_at_once
from tests.support.clocks import PATIENCE
from tests.support.connected import connected
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.processes import Replica
from tests.support.stack import Stack

MODEL: Final = "realtime-pooled"
# An ordinary mint asks for so long a life, the pool for twice of it.
KEY_SECONDS: Final = 3600
TARGET: Final = 1000
CALLERS: Final = 24
KILL_SECONDS: Final = 3.0
FEWEST_KILLS: Final = 2
# Every so many handles, one is relayed.
RELAY_EACH: Final = 25
# As long as a provider that is near, and short enough that the pool is seldom empty.
_MINT_SECONDS: Final = 0.02
# After a mint that the pool did not serve a caller waits, so that it fills.
_FILLING_SECONDS: Final = 0.1
# A pool is empty when so many mints have failed in a row at a provider that fails.
_EMPTY_AFTER: Final = 3 * CALLERS
_PAGE: Final = 1000
# A long value lies in several fields, so that the record stays small.
_SEALED: Final = ("sealed_key", "sealed_key_2", "sealed_key_3", "sealed_key_4")


@dataclass
class Callers:
    """Backends that mint at either replica, and pages that relay; what came of it."""

    http: aiohttp.ClientSession
    headers: Mapping[str, str]
    # None while it is away.
    replicas: list[Replica | None]
    answered: list[str] = field(default_factory=list)
    pooled: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    # The handle of each call.
    calls: dict[str, str] = field(default_factory=dict)
    turns: itertools.count[int] = field(default_factory=itertools.count)

    async def until_taken(self, wanted: int, ended: asyncio.Event) -> None:
        """Mint, and now and then relay, until the pool has served so many and ``ended`` is set."""
        while self.pooled < wanted or not ended.is_set():
            number = next(self.turns)
            handle = await self.mint(number)
            if handle is None:
                continue
            if number % RELAY_EACH == 0:
                await self.relay(number + 1, handle)
            if not from_pool(handle):
                await asyncio.sleep(_FILLING_SECONDS)

    async def until_empty(self) -> None:
        """Mint until nothing is left; ``refused`` has what the failing provider makes of it."""
        while len(self.refused) < _EMPTY_AFTER:
            if await self.mint(next(self.turns)) is not None:
                self.refused.clear()

    async def mint(self, number: int) -> str | None:
        """Mint, and return the handle; None where the replica was killed meanwhile, or refuses."""
        url = f"{self._at(number).url}/v1/realtime/client_secrets"
        answer = await self._post("mint", url, dict(self.headers), json={"model": MODEL})
        if answer is None:
            return None
        status, body, _ = answer
        if status != 200:
            self.refused.append(f"mint: {status} {body[:200]!r}")
            return None
        handle = str(orjson.loads(body)["value"])
        self.answered.append(claims_of(handle)["jti"])
        self.pooled += from_pool(handle)
        return handle

    async def relay(self, number: int, handle: str) -> None:
        """Relay an offer at the other replica."""
        url = f"{self._at(number).url}/v1/realtime/calls"
        headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"}
        answer = await self._post("relay", url, headers, data=fresh_offer())
        if answer is None:
            return
        status, body, location = answer
        if status != 201:
            self.refused.append(f"relay: {status} {body[:200]!r}")
            return
        self.calls[location.rpartition("/")[2]] = claims_of(handle)["jti"]

    def _at(self, number: int) -> Replica:
        """The replica whose turn it is, or the other one while it is away."""
        running = [replica for replica in self.replicas if replica is not None]
        return running[number % len(running)]

    async def _post(
        self, what: str, url: str, headers: dict[str, str], **sent: Any
    ) -> tuple[int, bytes, str] | None:
        try:
            async with self.http.post(url, headers=headers, **sent) as answer:
                return answer.status, await answer.read(), answer.headers.get("Location", "")
        except (aiohttp.ClientError, OSError):
            self.broken[what] += 1
            return None


def from_pool(handle: str) -> bool:
    """Whether the pool has served this mint."""
    claims = claims_of(handle)
    return _is_pooled(claims["exp"] - claims["iat"])


def _is_pooled(life: int) -> bool:
    # The pool's keys live for longer than those of ordinary mints, for the first hour.
    return life > KEY_SECONDS + 1


async def takes(progress: Progress, rounds: int) -> Figures:
    """Take so many keys out of the pool over HTTP, while replicas are killed."""
    policy = {
        "deployments": ["openai"],
        "default_seconds": KEY_SECONDS,
        "pool": {"target": TARGET, "max_waste": 0.9},
    }
    stack = Stack(
        peer="static",
        sandbox_arguments=("--mint-seconds", f"{_MINT_SECONDS}"),
        CLOAKROOM_MODELS=orjson.dumps({MODEL: policy}).decode(),
        # A request that its replica did not answer is told so at once, by the end of its connection.
        CLOAKROOM_MINT_TIMEOUT_SECONDS="10",
    )
    with stack:
        async with many_at_once() as http:
            callers = Callers(http, stack.mint_headers, [stack.a, stack.b])
            kills = await _take_and_kill(stack, callers, progress, rounds)
            answered, served = len(callers.answered), callers.pooled
            await _empty(stack, callers)
            return {
                "keys handed out by the pool over HTTP": served,
                "mints that the pool did not serve": answered - served,
                "handed out after the provider failed": len(callers.answered) - answered,
                "kills": kills,
                "mints whose answer was lost": callers.broken["mint"],
                **await _accounts(stack, callers),
            }


async def _take_and_kill(stack: Stack, callers: Callers, progress: Progress, rounds: int) -> int:
    """Mint until so many keys came from the pool; return how often a replica was killed meanwhile."""
    killed_enough, kills = asyncio.Event(), 0
    async with asyncio.TaskGroup() as group:
        taking = [group.create_task(callers.until_taken(rounds, killed_enough)) for _ in range(CALLERS)]
        while (await asyncio.wait(taking, timeout=KILL_SECONDS))[1]:
            assert not callers.refused, callers.refused[:5]
            progress.at(min(callers.pooled, rounds), rounds, f"keys taken, {kills} kills")
            await _kill(stack, callers, kills % 2)
            kills += 1
            if kills >= FEWEST_KILLS:
                killed_enough.set()
    return kills


async def _kill(stack: Stack, callers: Callers, number: int) -> None:
    """Kill this replica in the middle of its work, and start it again."""
    dying = callers.replicas[number]
    assert dying is not None
    dying.signal(signal.SIGKILL)
    callers.replicas[number] = None
    await asyncio.to_thread(dying.wait)
    callers.replicas[number] = await asyncio.to_thread(stack.replica, dying.name)


async def _empty(stack: Stack, callers: Callers) -> None:
    """Let the provider fail, and take all that is left."""
    fault = {"kind": "status", "path": "client_secrets", "status": 500, "times": 0}
    await asyncio.to_thread(stack.sandbox.control, "POST", "faults", fault)
    await asyncio.gather(*[callers.until_empty() for _ in range(CALLERS)])
    callers.refused.clear()


async def _accounts(stack: Stack, callers: Callers) -> Figures:
    """Compare the keys of all records with each other, with the calls and with what was minted.

    Raises:
        AssertionError: a key was handed out twice, or a handle has no record or another key than its call.
    """
    found, pooled = await _keys_of_records(stack)
    missing = set(callers.answered) - found.keys()
    assert not missing, f"{len(missing)} handles were answered and have no record"
    held = Counter(found.values())
    twice = sum(count > 1 for count in held.values())
    state = await asyncio.to_thread(stack.sandbox.control, "GET", "state")
    calls = (await asyncio.to_thread(stack.sandbox.control, "GET", "calls"))["calls"]
    seen = Counter(call["key_sha256"] for call in calls)
    for call in calls:
        handle_id = callers.calls.get(call["call_id"])
        assert handle_id is None or found[handle_id].startswith(call["key_sha256"]), call
    minted, (bill, left) = int(state["keys"]["minted"]), await _bill(stack)
    figures: Figures = {
        "keys handed out twice": twice,
        "records of handles": len(found),
        "of them without an answer": len(found.keys() - set(callers.answered)),
        "keys minted at the provider": minted,
        "keys lost": minted - len(held) - left,
        "of them taken out of the pool": bill.used - pooled,
        "the bill: minted": bill.minted,
        "the bill: used": bill.used,
        "the bill: wasted": bill.wasted,
        "the bill: lost": bill.lost,
        "relays": len(callers.calls),
        "calls at the provider": len(calls),
        "keys with two calls": sum(count > 1 for count in seen.values()),
    }
    assert twice == figures["keys with two calls"] == 0, figures
    assert bill.minted == bill.used + bill.wasted + left, figures
    assert bill.used >= pooled, figures
    return figures


async def _bill(stack: Stack) -> tuple[PoolBill, int]:
    """What the store says of the keys; how many came into the pool when the callers had emptied it."""
    async with connected(stack.engine.url, "drill", timeout=PATIENCE) as connection:
        state = await PoolStore(connection).state(MODEL)
    return state.bill, sum(level.stock for level in state.shapes)


async def _keys_of_records(stack: Stack) -> tuple[dict[str, str], int]:
    """The SHA-256 of the key in each handle's record, by the handle's id; how many came from the pool."""
    sealer = Sealer(parse_sealing_ring(stack.planted.sealing))
    found: dict[str, str] = {}
    pooled = 0
    async with async_onlooker(stack.engine.url) as store:
        # SCAN may name a key more than once.
        names = list({name async for name in store.scan_iter(match=keys.handle("*"), count=_PAGE)})
        for first in range(0, len(names), _PAGE):
            page = names[first : first + _PAGE]
            async with store.pipeline(transaction=False) as pipeline:
                for name in page:
                    pipeline.hmget(name, ("client", "expires_at", "minted_at", *_SEALED))
                records = await pipeline.execute()
            for name, (client, expires_at, minted_at, *parts) in zip(page, records, strict=True):
                handle_id = name.partition("{")[2].removesuffix("}")
                sealed = "".join(part for part in parts if part is not None)
                grant = open_grant(sealer, sealed, handle_id, client, expires_at, with_call=False)
                assert grant.key is not None
                found[handle_id] = digest(grant.key.reveal())
                pooled += _is_pooled(int(expires_at) - int(minted_at))
    return found, pooled


DRILLS = (Drill("pool", "19", minutes=5, rounds=100_000, run=takes),)
