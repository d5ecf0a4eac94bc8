"""Eight claims at once on a handle that is good for one call, at the store: the bulk of the races.

Two connections, as two replicas have them, claim through the broker's own steps (``app.broker.claims``), each
behind a fault proxy that cuts, delays, stalls, drops replies and repeats commands. The provider is a count of
the offers that would be sent to it. ``races_http`` has the same race over two real replicas.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import redis.asyncio as redis
from structlog.testing import capture_logs

from app.broker.allowance import Allowance
from app.broker.claims import Claims
from app.broker.deadlines.orphans import Orphans
from app.broker.outcomes import Claim, Outcomes, RelayPolicy
from app.broker.settlement import Settlement
from app.errors import HandleSpent, StoreUnavailable, UpstreamError
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.models import Answer, Clocks, Family, HandleClaims, Offer, Sender
from app.store import keys
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines
from app.store.records.handles import HandleStore
from app.store.records.record import HandleRecord
from app.telemetry.timings import Timings
from tests.faults.drill import Drill, Figures, Progress
from tests.support.clocks import PATIENCE, eventually
from tests.support.connected import connected
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.onlooker import async_onlooker
from tests.support.security import security_log

AT_ONCE: Final = 8
# For commands that come together, which are those of several races.
RATES: Final[Mapping[Fault, float]] = {
    Fault.DELAY: 0.03,
    Fault.LATE_REPLY: 0.03,
    Fault.REPEAT: 0.1,
    Fault.CUT: 0.02,
    Fault.DROPPED_REPLY: 0.02,
    # Longer than the store's deadline: it costs seconds, so it is rare.
    Fault.STALL: 0.0003,
}
# Of a mint's commands. Its first try may be stuck, and arrive when the handle is in use already.
MINT_RATES: Final[Mapping[Fault, float]] = {Fault.REPEAT: 0.2, Fault.LATE_REPEAT: 0.2}
# After so many races the background writes are awaited, and every record is looked at.
BLOCK: Final = 1000
_RACES_AT_ONCE: Final = 32
_STORE_SECONDS: Final = 0.8
_STALL_SECONDS: Final = 0.9
_LIFE_SECONDS: Final = 3600.0
_REFUSED: Final = UpstreamError("The provider did not take the offer.")


class Claimant:
    """What one replica has between its HTTP and the provider."""

    def __init__(self, connection: StoreConnection, replica: str) -> None:
        self.connection = connection
        self.store = HandleStore(connection, replica=replica)
        self.settlement = Settlement(time.monotonic)
        clocks = Clocks(now=time.time, monotonic=time.monotonic)
        sealer = Sealer(parse_sealing_ring(f"seal1:{secrets.token_urlsafe(32)}"))
        policy = RelayPolicy(replica=replica, timeout=20, replay_window=30, call_retention=600)
        self.outcomes = Outcomes(
            store=self.store,
            sealer=sealer,
            settlement=self.settlement,
            orphans=Orphans(
                deadlines=CallDeadlines(connection),
                calls=CallStore(connection),
                settlement=self.settlement,
                grace=0.0,
                hang_up_lost=False,
                count=lambda reason: None,
                clocks=clocks,
            ),
            policy=policy,
            clocks=clocks,
        )
        self.claims = Claims(
            store=self.store,
            sealer=sealer,
            outcomes=self.outcomes,
            allowance=Allowance(sealer, {}),
            policy=policy,
            security=security_log(),
            clocks=clocks,
        )

    async def win(self, handle_id: str) -> Claim | None:
        """Claim a use for a fresh offer; None where another one has it.

        Raises:
            StoreUnavailable: it is not known here whether this claim counted.
        """
        handle = HandleClaims(id=handle_id, expires_at=int(time.time() + _LIFE_SECONDS))
        try:
            offer = Offer(sdp=b"", sha256=secrets.token_hex(32))
            won = await self.claims.win(handle, offer, Sender(), Timings())
        except HandleSpent:
            return None
        assert isinstance(won, Claim), "a fresh offer got the answer to another one"
        return won


@asynccontextmanager
async def claimant(url: str, replica: str, *, timeout: float = _STORE_SECONDS) -> AsyncIterator[Claimant]:
    """What a replica has, on its connection."""
    async with connected(url, replica, timeout=timeout) as connection:
        made = Claimant(connection, replica)
        try:
            yield made
        finally:
            await made.settlement.close(grace=0)


@dataclass(slots=True)
class Tally:
    """What the races came to. ``sent`` counts the offers of each handle that would reach the provider."""

    decided: int = 0
    without_winner: int = 0
    not_known: int = 0
    given_back: int = 0
    doubles: int = 0
    uses_lost: int = 0
    sent: Counter[str] = field(default_factory=Counter)

    def hold(self) -> None:
        """Raise AssertionError where the promise is broken."""
        assert self.doubles == 0, f"{self.doubles} double wins in {self.decided:,} races"
        assert self.uses_lost == 0, f"{self.uses_lost} uses lost in {self.decided:,} races"


async def race(rivals: Sequence[Claimant], handle_id: str, tally: Tally, chance: random.Random) -> bool:
    """Claim eight times at once. Return whether the one use was won, and given back unsent."""
    await eventually(lambda: all(rival.connection.up for rival in rivals), "a store that answers")
    claims = [rivals[number % len(rivals)].win(handle_id) for number in range(AT_ONCE)]
    results = await asyncio.gather(*claims, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, StoreUnavailable):
            raise result
    tally.not_known += sum(isinstance(result, StoreUnavailable) for result in results)
    winners = [(number, won) for number, won in enumerate(results) if isinstance(won, Claim)]
    tally.doubles += len(winners) > 1
    tally.decided += len(winners) == 1
    tally.without_winner += not winners
    given_back = 0
    for number, won in winners:
        given_back += await _end(rivals[number % len(rivals)].outcomes, won, tally, chance)
    return given_back == 1 == len(winners)


async def _end(outcomes: Outcomes, won: Claim, tally: Tally, chance: random.Random) -> bool:
    """End the winner's relay in one of three ways, and return whether its use is free again."""
    end = chance.random()
    if end < 0.1:
        await outcomes.give_back(won, code="upstream_unreachable")
        tally.given_back += 1
        return True
    tally.sent[won.handle_id] += 1
    if end < 0.2:
        await outcomes.failed(won, _REFUSED)
    else:
        await outcomes.answered(won, Answer(sdp=b"v=0", call_id=f"rtc_{secrets.token_hex(8)}"))
    return False


async def race_to_the_end(
    rivals: Sequence[Claimant], handle_id: str, tally: Tally, chance: random.Random
) -> None:
    """Race again while the use was given back. One who comes after an offer was sent must not win, either."""
    while await race(rivals, handle_id, tally, chance):
        pass
    if not tally.sent[handle_id]:
        return
    try:
        late = await rivals[chance.randrange(len(rivals))].win(handle_id)
    except StoreUnavailable:
        return
    tally.doubles += late is not None


async def races(progress: Progress, rounds: int) -> Figures:
    """Race until so many races had a winner."""
    tally, chance, serial = Tally(), random.Random(5), itertools.count()
    with capture_logs(), LocalEngine() as engine:
        async with (
            FaultProxy(engine.port, RATES, seed=1, stall=_STALL_SECONDS) as first,
            FaultProxy(engine.port, RATES, seed=2, stall=_STALL_SECONDS) as second,
            claimant(first.url_instead_of(engine.url), "replica-a") as a,
            claimant(second.url_instead_of(engine.url), "replica-b") as b,
            FaultProxy(engine.port, MINT_RATES, seed=3) as third,
            # A race needs its handle, however busy the machine is.
            claimant(third.url_instead_of(engine.url), "minter", timeout=PATIENCE) as minter,
            async_onlooker(engine.url) as onlooker,
        ):
            while tally.decided < rounds:
                ids = [f"race-{next(serial)}" for _ in range(min(BLOCK, rounds - tally.decided))]
                await _block(minter, (a, b), ids, tally, chance)
                await _look(onlooker, (a, b), ids, tally)
                tally.hold()
                progress.at(tally.decided, rounds, f"races, {tally.without_winner} without a winner")
            struck = first.struck + second.struck + third.struck
    return {
        "races with a winner": tally.decided,
        "double wins": tally.doubles,
        "offers sent": tally.sent.total(),
        "won and given back": tally.given_back,
        "uses lost": tally.uses_lost,
        "races in which nobody heard of a win": tally.without_winner,
        "claims that got no reply": tally.not_known,
        **{f"faults: {fault.value}": struck[fault] for fault in Fault},
    }


async def _block(
    minter: Claimant, rivals: Sequence[Claimant], ids: Sequence[str], tally: Tally, chance: random.Random
) -> None:
    slots = asyncio.Semaphore(_RACES_AT_ONCE)

    async def one(handle_id: str) -> None:
        async with slots:
            await minter.store.save(_record(handle_id), life=_LIFE_SECONDS)
            await race_to_the_end(rivals, handle_id, tally, chance)

    await asyncio.gather(*[one(handle_id) for handle_id in ids])


async def _look(onlooker: redis.Redis, rivals: Sequence[Claimant], ids: Sequence[str], tally: Tally) -> None:
    """When nothing is left to write, each record has counted what was sent, and nothing else."""
    await eventually(lambda: not any(rival.settlement.pending for rival in rivals), "settled claims")
    assert not any(rival.settlement.given_up for rival in rivals)
    async with onlooker.pipeline(transaction=False) as pipeline:
        for handle_id in ids:
            pipeline.hget(keys.handle(handle_id), "calls")
        counted = await pipeline.execute()
    for handle_id, calls in zip(ids, counted, strict=True):
        tally.doubles += tally.sent[handle_id] > 1
        tally.uses_lost += int(calls) > tally.sent[handle_id]
        assert int(calls) >= tally.sent[handle_id], f"{handle_id} forgot a use"
    await onlooker.delete(*[keys.handle(handle_id) for handle_id in ids])


def _record(handle_id: str) -> HandleRecord:
    now = int(time.time())
    return HandleRecord(
        id=handle_id,
        model="gpt-realtime",
        deployment="openai",
        provider="openai",
        family=Family.REALTIME,
        client="shop",
        subject="",
        origin="",
        minted_at=now,
        expires_at=now + int(_LIFE_SECONDS),
        minted_by="replica-a",
        max_calls=1,
        sealed_key="seal1.c2VhbGVk",
    )


DRILLS = (Drill("races", "5", minutes=6, rounds=90_000, run=races),)
