"""Promise 11: a million requests, which fail in every way there is, leave nothing behind in a replica.

Four kinds of things go on at once: a load of mints, offers, repeated offers and bad requests; callers that
leave, send garbage, or hang up; a provider that fails in a dozen ways; and a store that stalls. After each
part all of it ends, and what the replica holds at rest is compared with what it held after the first part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from tests.bench import procfs
from tests.bench.contenders import MINT_PATH, RELAY_PATH, mint_load, relay_load
from tests.bench.open_loop import OpenLoop
from tests.bench.wrk import SERIAL, TOKEN, Load, request_template
from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import called, hang_up, mint, minted, relay
from tests.support.clocks import PATIENCE, eventually
from tests.support.offers import fresh_offer
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.stack import Stack

PARTS: Final = 10
# A deadline a request, so that a provider that says nothing does not hold up the run.
DEADLINES: Final = {
    "CLOAKROOM_STORE_TIMEOUT_SECONDS": "0.8",
    "CLOAKROOM_CONNECT_TIMEOUT_SECONDS": "1",
    "CLOAKROOM_MINT_TIMEOUT_SECONDS": "2",
    "CLOAKROOM_RELAY_TIMEOUT_SECONDS": "2",
    # All come from one address, and each bad credential is to be looked at.
    "CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE": "0",
}
CONNECTIONS: Final = 48
HANDLES: Final = 50
MEMORY_TIMES: Final = 1.05
# A connection to the store more or less, and what is just being closed.
FEW: Final = 8
_PART_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 3.0
# So many make a rest in which connections to the provider that no request uses end.
_LOOKS: Final = 15
_STALL_SECONDS: Final = 0.4
_FAULT_EVERY: Final = 0.4
_STALL_EVERY: Final = 5.0
_FAULTS: Final = (
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"kind": "status", "status": 401},
    {"kind": "delay", "seconds": 0.5},
    {"kind": "stall", "seconds": 1.0},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "html"},
    {"kind": "redirect"},
    {"kind": "garble"},
    {"kind": "truncate"},
    {"kind": "bad_json"},
    {"kind": "bad_header"},
    {"kind": "huge_body", "size": 1_000_000},
    {"kind": "past_expiry", "path": "client_secrets"},
)


@dataclass(frozen=True, slots=True)
class Held:
    """What a replica holds."""

    memory: int
    files: int
    tasks: int


class Part:
    """One part of the run: everything at once until the load has sent its requests."""

    def __init__(self, stack: Stack, replica: Replica, http: aiohttp.ClientSession, number: int) -> None:
        self._stack = stack
        self._replica = replica
        self._http = http
        self._random = random.Random(number)
        self._where = replica.url.removeprefix("http://").split(":")
        self._over = asyncio.Event()
        self.others = 0
        self.faults = 0
        self.stalls = 0
        self.lost = 0

    async def run(self, requests: int) -> Counter[str]:
        """Send so many requests, and return how many answers had which status."""
        key, url = self._stack.planted.client_key, self._replica.url
        # A breaker that the part before opened gives the provider a rest first.
        await eventually(self._mints, "the provider is never asked again")
        handles = [await minted(self._http, url, key) for _ in range(HANDLES)]
        disturbers = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._disturb_provider(),
                self._stall_store(),
                *(self._leave() for _ in range(4)),
            )
        ]
        try:
            with OpenLoop(
                url,
                _loads(key, tuple(handles)),
                rate=None,
                seconds=_PART_SECONDS,
                cpus=os.sched_getaffinity(0),
                connections=CONNECTIONS,
                requests=requests,
            ) as load:
                told = await asyncio.to_thread(load.result)
        finally:
            # Each ends what it is at: nobody may disturb the next part, or the rest between two.
            self._over.set()
            await asyncio.gather(*disturbers)
            await asyncio.to_thread(self._stack.sandbox.control, "DELETE", "faults")
        self.lost = told.lost
        return Counter({name: one.count for name, one in told.by_status.items() if name.isdigit()})

    async def _mints(self) -> bool:
        reply = await mint(self._http, self._replica.url, self._stack.planted.client_key)
        return reply.status == 200

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def _disturb_provider(self) -> None:
        while not self._over.is_set():
            path = self._random.choice(("client_secrets", "calls", "hangup"))
            fault = {"path": path, "times": self._random.randint(1, 3), **self._random.choice(_FAULTS)}
            await asyncio.to_thread(self._stack.sandbox.control, "POST", "faults", fault)
            self.faults += 1
            await self._pause(_FAULT_EVERY)

    async def _stall_store(self) -> None:
        while not self._over.is_set():
            os.kill(self._stack.engine.pid, signal.SIGSTOP)
            self.stalls += 1
            await asyncio.sleep(_STALL_SECONDS * 2 * self._random.random())
            os.kill(self._stack.engine.pid, signal.SIGCONT)
            await self._pause(_STALL_EVERY * 2 * self._random.random())

    async def _leave(self) -> None:
        """Callers that no load generator is: one kind after the other."""
        while not self._over.is_set():
            kinds = (self._garbage, self._goes_away, self._too_large, self._calls, self._watches)
            kind = self._random.choice(kinds)
            with contextlib.suppress(AssertionError, aiohttp.ClientError, OSError):
                await asyncio.wait_for(kind(), PATIENCE)
            self.others += 1

    async def _raw(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send these pieces and leave without reading."""
        _, writer = await asyncio.open_connection(self._where[0], int(self._where[1]))
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        writer.close()

    async def _garbage(self) -> None:
        await self._raw(os.urandom(200) + b"\r\n\r\n")
        await self._raw(b"POST " + RELAY_PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n")

    async def _goes_away(self) -> None:
        handle = await minted(self._http, self._replica.url, self._stack.planted.client_key)
        load = relay_load((handle,))
        request = load.template.replace(TOKEN, handle.encode()).replace(SERIAL, b"%018d" % time.time_ns())
        await self._raw(request, pause=0.01 * self._random.random())
        await self._raw(request[:300])
        await self._raw(request[:-100], pause=0.05)
        await self._raw(load.template[: load.template.index(b"Content-Length")], pause=0.05)

    async def _too_large(self) -> None:
        async with self._http.post(self._replica.url + MINT_PATH, data=b"x" * 200_000) as answer:
            await answer.read()

    async def _calls(self) -> None:
        base, key = self._replica.url, self._stack.planted.client_key
        handle, offer = await minted(self._http, base, key), fresh_offer()
        call_id = await called(self._http, base, handle, offer)
        await asyncio.gather(*(relay(self._http, base, handle, offer) for _ in range(3)))
        await hang_up(self._http, base, self._random.choice((key, handle)), call_id)
        await hang_up(self._http, base, key, call_id)
        await hang_up(self._http, base, key, "rtc_unknown")

    async def _watches(self) -> None:
        """An operator who watches for a moment, and leaves."""
        headers = {"Authorization": f"Bearer {self._stack.planted.admin_key}"}
        async with self._http.get(f"{self._replica.url}/admin/v1/events", headers=headers) as answer:
            await answer.content.readany()


def _loads(key: str, handles: tuple[str, ...]) -> list[Load]:
    """Twenty requests that take turns; about half of them are at fault."""
    mints, offers = mint_load(key), relay_load(handles)
    json_type, sdp_type = ("Content-Type", "application/json"), ("Content-Type", "application/sdp")
    authorized = ("Authorization", f"Bearer {TOKEN.decode()}")

    def bad(path: str, body: bytes, *headers: tuple[str, str], token: str = key) -> Load:
        return Load(request_template(path, headers, body), (token,))

    return [
        *(mints, offers, mints, offers),
        # The same offer again and again.
        *([Load(offers.template.replace(SERIAL, b"7" * 18), handles[:1])] * 5),
        bad(MINT_PATH, b"{}", authorized, json_type, token="ck_nobody"),
        bad(MINT_PATH, b"{", authorized, json_type),
        bad(MINT_PATH, b'{"model": "unknown"}', authorized, json_type),
        bad(MINT_PATH, b'{"model": "gpt-realtime", "session": 7}', authorized, json_type),
        bad(MINT_PATH, b"model", authorized, ("Content-Type", "text/plain")),
        bad(RELAY_PATH, b"v=0", authorized, sdp_type, token=handles[0]),
        bad(RELAY_PATH, b"v=0", authorized, sdp_type, token="ek_a.b.c"),
        bad(RELAY_PATH, b"", sdp_type),
        bad("/v1/realtime/nothing", b""),
        bad(f"{RELAY_PATH}/rtc_unknown/hangup", b"", authorized),
        bad(MINT_PATH, b"{}", ("Origin", "null"), json_type),
    ]


async def leak(
    progress: Progress,
    requests: int,
    *,
    parts: int = PARTS,
    memory_times: float = MEMORY_TIMES,
    looks: int = _LOOKS,
) -> Figures:
    """Send ``requests`` in parts of one size, after one more that warms up."""
    each = -(-requests // parts)
    stack = Stack(peer="static", sandbox_arguments=("--peer-cap", "10000000"), CLOAKROOM_CORS_ORIGINS="*")
    with contextlib.ExitStack() as running:
        await asyncio.to_thread(running.enter_context, stack)
        replica = stack.replica("leaky", **DEADLINES)
        provider = urlsplit(stack.sandbox.url).port or 0
        async with aiohttp.ClientSession() as http:
            answers: Counter[str] = Counter()
            others = faults = stalls = 0
            held: list[Held] = []
            for number in range(parts + 1):
                part = Part(stack, replica, http, number)
                found = await part.run(each)
                compared = number in (0, parts)
                rest = await _at_rest(http, replica, provider, looks=looks if compared else 1)
                held.append(rest)
                # A line a request, which this process keeps.
                replica.lines.clear()
                progress.say(
                    f"part {number} of {parts}: {dict(sorted(found.items()))}, {held[-1]}, {part.lost} lost"
                )
                if number:
                    answers, others = answers + found, others + part.others
                    faults, stalls = faults + part.faults, stalls + part.stalls
    first, last = held[0], held[-1]
    figures: Figures = {
        "requests": answers.total(),
        "by status": ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.items())),
        "callers that left or misbehaved": others,
        "faults of the provider": faults,
        "stalls of the store": stalls,
        "memory after the warm-up, MB": round(first.memory / 1e6, 1),
        "memory at the end, MB": round(last.memory / 1e6, 1),
        "memory, times": round(last.memory / first.memory, 3),
        "files": f"{first.files} and {last.files}",
        "tasks": f"{first.tasks} and {last.tasks}",
    }
    course = [asdict(one) for one in held]
    assert {"200", "201", "400", "401", "404"} <= answers.keys(), figures
    assert last.memory <= memory_times * first.memory, (figures, course)
    assert last.files <= first.files + FEW, (figures, course)
    assert last.tasks <= first.tasks + FEW, (figures, course)
    return figures


async def _at_rest(http: aiohttp.ClientSession, replica: Replica, provider: int, *, looks: int) -> Held:
    """What the replica holds when it has nothing to do: no request, no record that waits for the store.

    It counts once as many files were open at so many looks in a row. Connections to the provider's port are
    none of them: those that no request uses are kept for a while, as many as there were requests at once.
    """

    async def idle() -> bool:
        seen = await scrape(http, replica.url)
        busy = (seen.value("cloakroom_requests_in_flight") or 0) - 1
        return busy == 0 and seen.value("cloakroom_settlements_pending") == 0

    await eventually(idle, "the replica never comes to rest")
    # Connections that were closed at this end are noticed at the other a moment later.
    previous, same = -1.0, 0
    while True:
        seen = await scrape(http, replica.url)
        tasks, files = seen.value("cloakroom_tasks") or 0, seen.value("process_open_fds") or 0
        files -= procfs.connections_to(replica.pid, provider)
        # A task of the background comes and goes.
        same = same + 1 if files == previous else 0
        if same == looks:
            return Held(procfs.memory_bytes(replica.pid), int(files), int(tasks))
        previous = files
        await asyncio.sleep(_LOOK_SECONDS)


DRILLS: Final = (Drill("leaks", promise="11", minutes=15, rounds=1_000_000, run=leak),)
