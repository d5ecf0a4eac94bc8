"""Promise 8d: a worker is killed, or stands still. The others serve on, and only its own requests fail.

Callers mint and relay, half of them with a connection for each request and half with one that they keep. By
turns a worker of the replica gets SIGKILL. What fails must be a connection that broke, and no more of them
than callers, since each waits for one answer at a time. Counters at ``/metrics`` never fall.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.faults.drill import Drill, Figures, Progress
from tests.support.clocks import eventually
from tests.support.crew import Crew, fresh_connections
from tests.support.offers import fresh_offer
from tests.support.scrape import scrape
from tests.support.stack import Stack

WORKERS: Final = 3
CALLERS: Final = 12
PAUSE_SECONDS: Final = 0.02
# More than five deaths of a worker within a minute end the replica; each round is the turn of another one.
QUIET_SECONDS: Final = 4.5


@dataclass
class Load:
    """Callers that mint and relay until they are told to end; what came of it."""

    url: str
    headers: dict[str, str]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    answers: Counter[str] = field(default_factory=Counter)
    # Connections that broke, and answers that are errors.
    broken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def caller(self, http: aiohttp.ClientSession) -> None:
        """Mint, relay, and again."""
        while not self.ended.is_set():
            minted = await self._post(http, "client_secrets", self.headers, json={"model": "gpt-realtime"})
            if minted is not None:
                headers = {"Authorization": f"Bearer {minted['value']}", "Content-Type": "application/sdp"}
                await self._post(http, "calls", headers, data=fresh_offer())
            await asyncio.sleep(PAUSE_SECONDS)

    async def _post(
        self, http: aiohttp.ClientSession, path: str, headers: dict[str, str], **sent: object
    ) -> dict[str, str] | None:
        url = f"{self.url}/v1/realtime/{path}"
        try:
            async with http.post(url, headers=headers, **sent) as answer:  # type: ignore[arg-type]  # data or json
                text = await answer.text()
                if answer.status in (200, 201):
                    self.answers[path] += 1
                    return await answer.json() if answer.status == 200 else None
                self.refused.append(f"{path}: {answer.status} {text[:200]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.broken.append(f"{path}: {error!r}")
        return None


async def kill(progress: Progress, rounds: int) -> Figures:
    """Kill a worker by turns, at a steady load of mints and relays."""
    with contextlib.ExitStack() as running:
        stack = Stack(peer="static", sandbox_arguments=("--peer-cap", "1000000"))
        await asyncio.to_thread(running.enter_context, stack)
        crew = await asyncio.to_thread(Crew, "crew", stack.environment(), WORKERS)
        running.enter_context(crew)
        load = Load(crew.url, stack.mint_headers)
        counted, most_broken = 0.0, 0
        async with (
            fresh_connections() as each,
            aiohttp.ClientSession() as keeping,
            fresh_connections() as asks,
        ):
            callers = [
                asyncio.create_task(load.caller(http))
                for http in (each, keeping)
                for _ in range(CALLERS // 2)
            ]
            for number in range(rounds):
                worker = number % WORKERS
                await _answered(load, 20)
                counted = await _grown(asks, crew.url, counted)
                before = len(load.broken)
                died = crew.kill(worker)
                # The others serve on while it is away.
                await _answered(load, 20)
                counted = await _grown(asks, crew.url, counted)
                await asyncio.to_thread(crew.wait_for_next, worker, died)
                await _whole(asks, crew.url)
                counted = await _grown(asks, crew.url, counted)
                most_broken = max(most_broken, len(load.broken) - before)
                told = f"killed, {sum(load.answers.values()):,} answered, {len(load.broken)} broken"
                progress.at(number + 1, rounds, told)
                if number + 1 < rounds:
                    await asyncio.sleep(QUIET_SECONDS)
            load.ended.set()
            await asyncio.gather(*callers)
        crew.signal(signal.SIGTERM)
        assert await asyncio.to_thread(crew.wait) == 0, crew.output
    figures: Figures = {
        "killed": rounds,
        "mints": load.answers["client_secrets"],
        "relays": load.answers["calls"],
        "broken": len(load.broken),
        "most broken at once": most_broken,
        "refused": len(load.refused),
    }
    assert not load.refused, (figures, load.refused[:10])
    assert most_broken <= CALLERS, (figures, load.broken)
    return figures


async def hang(progress: Progress, rounds: int) -> Figures:
    """Let a worker stand still: it is killed after half a minute, and another one takes its place."""
    with contextlib.ExitStack() as running:
        stack = Stack(peer="static")
        await asyncio.to_thread(running.enter_context, stack)
        crew = await asyncio.to_thread(Crew, "crew", stack.environment(), 2)
        running.enter_context(crew)
        async with fresh_connections() as http:
            for number in range(rounds):
                stopped = crew.pids()[number % 2]
                os.kill(stopped, signal.SIGSTOP)
                # It accepts nothing, so every caller gets an answer.
                for _ in range(20):
                    async with http.get(f"{crew.url}/readyz") as answer:
                        assert answer.status == 200
                seen = await scrape(http, crew.url)
                assert seen.status == 200
                await asyncio.to_thread(crew.wait_for_next, number % 2, stopped)
                await _whole(http, crew.url)
                assert len(crew.events("worker_hangs")) == number + 1
                progress.at(number + 1, rounds, "stood still and were replaced")
    return {"stood still": rounds, "replaced": len(crew.events("worker_hangs"))}


async def _answered(load: Load, more: int) -> None:
    wanted = sum(load.answers.values()) + more
    await eventually(lambda: sum(load.answers.values()) >= wanted, lambda: load.broken[-5:])


async def _grown(http: aiohttp.ClientSession, url: str, before: float) -> float:
    """Scrape, and return the mints, which are no fewer than before."""
    counted = (await scrape(http, url)).value("cloakroom_mints_total") or 0.0
    assert counted >= before, f"mints fell from {before} to {counted}"
    return counted


async def _whole(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until no worker is missing."""

    async def ready() -> bool:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200 and await answer.json() == {"status": "ready"}

    await eventually(ready)


DRILLS: Final = (
    Drill("workers", promise="8d", minutes=2.5, rounds=24, run=kill),
    Drill("hanging-worker", promise="8d", minutes=1.5, rounds=2, run=hang),
)
