"""Promise 9: one of a model's two deployments fails in every manner by turns, under a steady load.

Two replicas, two providers. In each round the first provider fails in one manner. Meanwhile there are mints
of the model at a steady rate, some mints of a model that has the failing deployment alone, and offers whose
handles were minted there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.faults.drill import Drill, Figures, Progress
from tests.support import api
from tests.support.clocks import eventually
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox
from tests.support.scrape import scrape
from tests.support.stack import Stack

# Of a mint with all its tries, and of a relay.
DEADLINE_SECONDS: Final = 4.0
# What the promise allows.
LATEST_SECONDS: Final = DEADLINE_SECONDS * 1.05
MINTS_A_SECOND: Final = 20
# Every so many mints one of the model that has the failing deployment alone.
ALONE_EVERY: Final = 5
OFFERS: Final = 6
BOTH, ALONE = "gpt-realtime", "gpt-realtime-alone"
CONFIG: Final = f"""
deployments:
  failing: {{provider: openai, base_url: "${{FAILING_URL}}/v1", api_key: "${{OPENAI_API_KEY}}"}}
  other: {{provider: openai, base_url: "${{OPENAI_BASE_URL}}", api_key: "${{OPENAI_API_KEY}}"}}
models:
  {BOTH}:
    deployments: [{{deployment: failing, priority: 0}}, {{deployment: other, priority: 1}}]
  {ALONE}: failing
"""
_HINTS: Final = "HTTP/1.1 103 Early Hints\r\n\r\n"
_TWO_LENGTHS: Final = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"
# How the provider fails, at every path: at once, which needs no deadline, and slowly.
AT_ONCE: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "status", "status": 503, "headers": {"Retry-After": "2"}},
    {"kind": "drop_after"},
    {"kind": "gone"},
)
MANNERS: Final[tuple[dict[str, Any], ...]] = (
    *AT_ONCE,
    {"kind": "stall"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}},
    {"kind": "drop_before"},
    {"kind": "stall_after"},
    {"kind": "trickle", "seconds": 0.1},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 200},
    {"kind": "redirect"},
    {"kind": "bad_header"},
    {"kind": "bad_json"},
    {"kind": "garble"},
    {"kind": "truncate"},
    {"kind": "huge_body"},
    {"kind": "past_expiry", "seconds": 60},
    {"kind": "raw", "body": _TWO_LENGTHS},
    {"kind": "raw", "body": _HINTS * 5000},
    {"kind": "raw", "body": _HINTS, "seconds": 0.5},
    # Of the process, as ``gone`` is, not of its answers.
    {"kind": "frozen"},
)
# After these answers a call may exist.
UNKNOWN: Final = frozenset({"outcome_unknown", "upstream_timeout"})


@dataclass
class Seen:
    """What callers saw, over all rounds."""

    mints: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    offers: Counter[str] = field(default_factory=Counter)
    slowest_mint: float = 0.0
    slowest_told: float = 0.0
    slowest_offer: float = 0.0
    sent: int = 0
    sent_twice: int = 0


class World:
    """Two replicas, the provider that fails and the one that does not."""

    def __init__(self, resources: contextlib.ExitStack, deadline: float) -> None:
        folder = resources.enter_context(tempfile.TemporaryDirectory())
        config = Path(folder) / "cloakroom.yaml"
        config.write_text(CONFIG, encoding="utf-8")
        self._resources = resources
        self._planted = planted = Planted()
        self.failing = self._provider(0)
        self._port = int(self.failing.url.rpartition(":")[2])
        self.stack = Stack(
            peer="static",
            sandbox_arguments=("--peer-cap", "1000000"),
            CLOAKROOM_CONFIG=str(config),
            CLOAKROOM_MINT_TIMEOUT_SECONDS=f"{deadline:g}",
            CLOAKROOM_RELAY_TIMEOUT_SECONDS=f"{deadline:g}",
            CLOAKROOM_CONNECT_TIMEOUT_SECONDS="1",
            FAILING_URL=self.failing.url,
            planted=planted,
        )
        resources.enter_context(self.stack)

    def _provider(self, port: int) -> Sandbox:
        return self._resources.enter_context(
            Sandbox(
                *("--peer", "static", "--peer-cap", "1000000", "--port", str(port)),
                openai_key=self._planted.openai_key,
                azure_key=self._planted.azure_key,
            )
        )

    @property
    def replicas(self) -> tuple[Replica, Replica]:
        return self.stack.a, self.stack.b

    @property
    def key(self) -> str:
        return self.stack.planted.client_key

    @contextlib.asynccontextmanager
    async def failing_as(self, manner: dict[str, Any]) -> AsyncIterator[None]:
        """The first provider fails so inside, and is well again afterwards."""
        control = self.failing.control
        match manner["kind"]:
            case "frozen":
                self.failing.signal(signal.SIGSTOP)
                try:
                    yield
                finally:
                    self.failing.signal(signal.SIGCONT)
            case "gone":
                self.failing.signal(signal.SIGKILL)
                await asyncio.to_thread(self.failing.wait)
                yield
                self.failing = await asyncio.to_thread(self._provider, self._port)
            case _:
                await asyncio.to_thread(control, "POST", "faults", {**manner, "times": 0})
                yield
                await asyncio.to_thread(control, "DELETE", "faults")

    async def offers_at_provider(self) -> Counter[str]:
        """How often the failing provider got each offer since its journal was cleared."""
        journal = await asyncio.to_thread(self.failing.control, "GET", "requests")
        return Counter(
            entry["body_sha256"] for entry in journal["requests"] if entry["path"].endswith("/realtime/calls")
        )


async def _timed(sending: Any) -> tuple[api.Reply, float]:
    started = time.monotonic()
    return await sending, time.monotonic() - started


class Round:
    """One manner of failing, under load."""

    def __init__(self, world: World, http: aiohttp.ClientSession, seen: Seen, seconds: float) -> None:
        self._world, self._http, self._seen, self._seconds = world, http, seen, seconds

    async def run(self, manner: dict[str, Any]) -> None:
        world = self._world
        await self._well_again()
        handles = [
            await api.minted(self._http, world.replicas[at % 2].url, world.key, {"model": ALONE})
            for at in range(OFFERS)
        ]
        await asyncio.to_thread(world.failing.control, "DELETE", "requests")
        async with world.failing_as(manner):
            offers = [self._offer(at, handle) for at, handle in enumerate(handles)]
            await asyncio.gather(self._load(), *offers)
            if manner["kind"] not in ("frozen", "gone"):
                await self._count_offers()
        if manner["kind"] == "frozen":
            await self._count_offers()

    async def _count_offers(self) -> None:
        counts = await self._world.offers_at_provider()
        self._seen.sent += counts.total()
        self._seen.sent_twice += sum(count - 1 for count in counts.values())

    async def _load(self) -> None:
        """A steady rate, whatever the answers do."""
        mints = []
        for at in range(int(self._seconds * MINTS_A_SECOND)):
            mints.append(asyncio.create_task(self._mint(at)))
            await asyncio.sleep(1 / MINTS_A_SECOND)
        await asyncio.gather(*mints)

    async def _mint(self, at: int) -> None:
        world, seen = self._world, self._seen
        alone = at % ALONE_EVERY == 0
        url, body = world.replicas[at % 2].url, {"model": ALONE if alone else BOTH}
        reply, seconds = await _timed(api.mint(self._http, url, world.key, body))
        outcome = "answered" if reply.status == 200 else reply.code
        (seen.alone if alone else seen.mints)[outcome] += 1
        seen.slowest_mint = max(seen.slowest_mint, seconds)
        if outcome == "upstream_unavailable":
            assert int(reply.headers["retry-after"]) >= 1
            seen.slowest_told = max(seen.slowest_told, seconds)

    async def _offer(self, at: int, handle: str) -> None:
        """Send an offer; where its outcome is unknown, send the same one to the other replica too."""
        seen, offer = self._seen, fresh_offer()
        for replica in (self._world.replicas[at % 2], self._world.replicas[1 - at % 2]):
            reply, seconds = await _timed(api.relay(self._http, replica.url, handle, offer))
            outcome = "answered" if reply.status == 201 else reply.code
            seen.offers[outcome] += 1
            seen.slowest_offer = max(seen.slowest_offer, seconds)
            if outcome not in UNKNOWN:
                break

    async def _well_again(self) -> None:
        """Wait until both replicas mint at the failing deployment again, by themselves."""

        async def mints(replica: Replica) -> bool:
            reply = await api.mint(self._http, replica.url, self._world.key, {"model": ALONE})
            return reply.status == 200

        for replica in self._world.replicas:
            await eventually(lambda replica=replica: mints(replica), "its breaker never closed again")  # type: ignore[misc]  # a default


async def run(
    progress: Progress, manners: Sequence[dict[str, Any]], *, deadline: float, seconds: float
) -> tuple[Seen, Figures]:
    """One manner a round; returns what was seen, and the figures. Nothing about durations is asserted.

    Args:
        deadline: of a mint and of a relay, in seconds.
        seconds: of load in each round.
    """
    seen = Seen()
    with contextlib.ExitStack() as resources:
        world = await asyncio.to_thread(World, resources, deadline)
        async with aiohttp.ClientSession() as http:
            one = Round(world, http, seen, seconds)
            for number, manner in enumerate(manners, start=1):
                await one.run(manner)
                progress.at(number, len(manners), f"{manner['kind']}: {dict(seen.mints)}")
            scrapes = [await scrape(http, replica.url) for replica in world.replicas]
        of_other = {"model": BOTH, "deployment": "other", "outcome": "ok"}
        by_other = sum(told.value("cloakroom_mints_total", **of_other) or 0 for told in scrapes)
        events = {
            name: sum(len(replica.events(name)) for replica in world.replicas)
            for name in ("breaker_opened", "breaker_closed", "provider_asked_to_wait")
        }
    total = seen.mints.total()
    figures: Figures = {
        "mints that had another deployment": total,
        "of them answered": seen.mints["answered"],
        "by the other deployment": int(by_other),
        "mints that had none": seen.alone.total(),
        "of them told at once, nothing sent": seen.alone["upstream_unavailable"],
        "offers that the provider got": seen.sent,
        "offers that it got twice": seen.sent_twice,
        "slowest mint": f"{seen.slowest_mint:.2f} s of {deadline:g}",
        "slowest answer upstream_unavailable": f"{seen.slowest_told * 1000:.0f} ms",
        "slowest offer": f"{seen.slowest_offer:.2f} s of {deadline:g}",
        "breakers opened": events["breaker_opened"],
        "breakers closed": events["breaker_closed"],
        "waits asked for": events["provider_asked_to_wait"],
    }
    assert seen.mints["answered"] == total, (seen, figures)
    assert (seen.sent > 0, seen.sent_twice) == (True, 0), (seen, figures)
    assert seen.alone["upstream_unavailable"] > 0, (seen, figures)
    assert events["breaker_closed"] >= 1, (seen, figures)
    return seen, figures


async def fail(progress: Progress, rounds: int) -> Figures:
    """All manners by turns, with deadlines that are measured."""
    manners = [MANNERS[number % len(MANNERS)] for number in range(rounds)]
    seen, figures = await run(progress, manners, deadline=DEADLINE_SECONDS, seconds=5)
    assert max(seen.slowest_mint, seen.slowest_offer) <= LATEST_SECONDS, figures
    return figures


DRILLS = (Drill("providers", promise="9", minutes=5, rounds=len(MANNERS), run=fail),)
