"""Metered calls whose watcher is killed: each has one record, and what was missed is marked.

One replica watches all calls, and its memory and CPU are measured. Then it is killed while events come, and
another one goes on.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import aiohttp

from app.store import keys
from tests.bench import procfs
from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import called, minted
from tests.support.clocks import eventually
from tests.support.metering import Record, done, records
from tests.support.onlooker import async_onlooker
from tests.support.scrape import scrape
from tests.support.stack import Stack

_AT_ONCE: Final = 16
# Of the calls, those that end before the kill.
_EARLY: Final = 5
_IDLE_SECONDS: Final = 5.0
_BUSY_ROUNDS: Final = 5


async def killed_watcher(progress: Progress, rounds: int) -> Figures:
    """``rounds`` calls, all watched by one replica, which is killed in the middle."""
    with Stack(
        peer="static",
        sandbox_arguments=("--peer-cap", "100000"),
        CLOAKROOM_METERING="on",
        CLOAKROOM_METERING_MAX=str(rounds),
    ) as stack:
        stack.b.stop()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            async_onlooker(stack.engine.url) as store,
        ):
            run = _Run(stack, http, store, progress)
            # The first call pays for what is loaded once.
            warm = await run.make(1)
            await run.told(done("warm"), 1)
            await run.end(warm)
            figures = await run.measured(rounds)
            early, late = run.calls[: rounds // _EARLY], run.calls[rounds // _EARLY :]
            await run.end(early)
            await eventually(lambda: run.recorded(early))
            progress.say(f"{len(early)} calls have ended; the watcher is killed now")
            figures |= await run.killed(late)
            await run.end(late)
            await eventually(lambda: run.recorded(run.calls), "not every call has a record")
            return {**figures, **_judge(await records(store), early, late)}


class _Run:
    """What a drill does to the calls, and what it looks at."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession, store: Any, progress: Progress) -> None:
        self.stack, self.http, self.store, self.progress = stack, http, store, progress
        self.calls: list[str] = []

    async def make(self, number: int) -> list[str]:
        """So many calls, through the first replica."""
        found: list[str] = []

        async def one(_: int) -> None:
            handle = await minted(self.http, self.stack.a.url, self.stack.planted.client_key)
            found.append(await called(self.http, self.stack.a.url, handle))
            self.progress.at(len(found), number, "calls are made")

        await _in_parallel(one, range(number))
        return found

    async def end(self, calls: Iterable[str]) -> None:
        """The calls end at the provider, as when browsers leave."""
        headers = {"Authorization": f"Bearer {self.stack.planted.openai_key}"}

        async def one(call_id: str) -> None:
            url = f"{self.stack.sandbox.url}/v1/realtime/calls/{call_id}/hangup"
            async with self.http.post(url, headers=headers) as response:
                assert response.status == 200, await response.text()

        await _in_parallel(one, calls)

    async def tell(self, event: dict[str, Any]) -> int:
        """The provider sends this to all sidebands; returns how many there are."""
        told = await asyncio.to_thread(self.stack.sandbox.control, "POST", "events", {"event": event})
        return int(told["sidebands"])

    async def told(self, event: dict[str, Any], number: int) -> None:
        """The same, once so many calls are watched. A repeat has the same id, and counts once."""

        async def all_got_it() -> bool:
            return await self.tell(event) == number

        await eventually(all_got_it)

    async def measured(self, rounds: int) -> Figures:
        """Make the calls, have them watched, and find out what that costs the replica."""
        pid = self.stack.a.pid
        before = procfs.memory_bytes(pid)
        self.calls = await self.make(rounds)
        await self.told({"type": "response.created"}, rounds)
        self.progress.say("one replica watches all of them")
        memory = procfs.memory_bytes(pid) - before
        spent, begun = procfs.cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(_IDLE_SECONDS)
        idle = (procfs.cpu_seconds(pid) - spent) / (time.monotonic() - begun)
        spent = procfs.cpu_seconds(pid)
        for number in range(_BUSY_ROUNDS):
            await self.told(done(f"resp_{number}"), rounds)
        await self.kept(_BUSY_ROUNDS)
        busy = procfs.cpu_seconds(pid) - spent
        return {
            "calls": rounds,
            "memory of a watched call": f"{memory / rounds / 1000:.0f} kB",
            "CPU while all are silent": f"{idle * 100:.1f} %",
            "CPU of a response": f"{busy / rounds / _BUSY_ROUNDS * 1e6:.0f} us",
        }

    async def kept(self, responses: int) -> None:
        """Wait until the store has so many responses of each call."""

        async def all_are() -> bool:
            pipe = self.store.pipeline(transaction=False)
            for call_id in self.calls:
                pipe.hget(keys.sums(call_id), "responses")
            return set(await pipe.execute()) == {str(responses)}

        await eventually(all_are)

    async def killed(self, late: list[str]) -> Figures:
        """Kill the watcher just after an event; another replica takes the calls, and one more event comes."""
        other = self.stack.replica("replica-c")
        assert await self.tell(done("resp_lost")) == len(late)
        self.stack.a.signal(signal.SIGKILL)
        self.stack.a.wait()
        begun = time.monotonic()

        async def watched() -> bool:
            found = await scrape(self.http, other.url)
            held = found.value("cloakroom_metering_watched_calls")
            return held == len(late) == await self.tell({"type": "response.created"})

        await eventually(watched)
        took = time.monotonic() - begun
        assert await self.tell(done("resp_after")) == len(late)
        assert other.running
        return {"all are watched again after": f"{took:.1f} s"}

    async def recorded(self, calls: Iterable[str]) -> bool:
        """Whether each of these calls has a record."""
        return {found["call"] for found in await records(self.store)} >= set(calls)


def _judge(found: list[Record], early: list[str], late: list[str]) -> Figures:
    by_call: dict[str, list[Record]] = {}
    for record in found:
        by_call.setdefault(record["call"], []).append(record)
    before = [by_call[call_id][0] for call_id in early]
    after = [by_call[call_id][0] for call_id in late]
    figures: Figures = {
        "records": len(found) - 1,
        "calls with two": sum(len(some) > 1 for some in by_call.values()),
        "complete, of those that ended before the kill": sum(one["metered"] == "complete" for one in before),
        "marked as incomplete, of the others": sum(one["metered"] == "incomplete" for one in after),
        "responses that the dead one had read and not kept": sum(
            _BUSY_ROUNDS + 2 - int(one["responses"]) for one in after
        ),
    }
    assert figures["records"] == len(early) + len(late), figures
    assert figures["calls with two"] == 0, figures
    assert {one["responses"] for one in before} <= {str(_BUSY_ROUNDS)}, figures
    assert {one["metered"] for one in before} <= {"complete"}, figures
    # What was kept before the kill and what came after it is there; in between it is marked, and not made up.
    assert {int(one["responses"]) for one in after} <= {_BUSY_ROUNDS + 1, _BUSY_ROUNDS + 2}, figures
    assert {(one["metered"], one["gaps"]) for one in after} == {("incomplete", "1")}, figures
    assert {one["ended_because"] for one in found} == {"remote"}, figures
    return figures


async def _in_parallel(do: Callable[[Any], Awaitable[None]], what: Iterable[Any]) -> None:
    left = iter(what)

    async def some() -> None:
        for one in left:
            await do(one)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


DRILLS: Final = (Drill(name="metering", promise="15", minutes=3, rounds=2_000, run=killed_watcher),)
