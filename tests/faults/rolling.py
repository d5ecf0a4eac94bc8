"""Promise 8a: replicas are restarted by turns behind the real load balancer, and no request fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.bench.program import free_port
from tests.faults.drill import Drill, Figures, Progress
from tests.support.balancer import Balancer
from tests.support.clocks import eventually
from tests.support.offers import fresh_offer
from tests.support.processes import Replica
from tests.support.stack import Stack

CALLERS: Final = 8
PAUSE_SECONDS: Final = 0.08
# The product's own default; the stack of the tests has none, since most of them do not roll.
DRAIN_SECONDS: Final = "5"
NAMES: Final = ("replica-a", "replica-b")
# One replica is one process, the other one has several.
WORKERS: Final = {"replica-a": "1", "replica-b": "2"}


@dataclass
class Load:
    """Callers that mint and relay through the balancer until they are told to end; what came of it."""

    http: aiohttp.ClientSession
    url: str
    headers: dict[str, str]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    async def caller(self) -> None:
        """Mint, relay, and again."""
        while not self.ended.is_set():
            body = await self._post("client_secrets", 200, self.headers, json={"model": "gpt-realtime"})
            if body is not None:
                headers = {"Authorization": f"Bearer {body['value']}", "Content-Type": "application/sdp"}
                await self._post("calls", 201, headers, data=fresh_offer())
            await asyncio.sleep(PAUSE_SECONDS)

    async def _post(
        self, path: str, wanted: int, headers: dict[str, str], **sent: object
    ) -> dict[str, str] | None:
        url = f"{self.url}/v1/realtime/{path}"
        try:
            async with self.http.post(url, headers=headers, **sent) as answer:  # type: ignore[arg-type]  # data or json
                text = await answer.text()
                if answer.status == wanted:
                    self.answers[path] += 1
                    return await answer.json() if wanted == 200 else None
                self.failures.append(f"{path}: {answer.status} {text[:200]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"{path}: {error!r}")
        return None


async def roll(progress: Progress, restarts: int) -> Figures:
    """Restart the two replicas by turns, at a steady load of mints and relays."""
    stack = Stack(peer="static", sandbox_arguments=("--peer-cap", "1000000"))
    with contextlib.ExitStack() as running:
        await asyncio.to_thread(running.enter_context, stack)
        ports = {name: str(free_port()) for name in NAMES}
        replicas = {name: await _started(stack, name, port) for name, port in ports.items()}
        balancer = await asyncio.to_thread(
            Balancer, {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        )
        running.enter_context(balancer)
        async with aiohttp.ClientSession() as http:
            load = Load(http, balancer.url, stack.mint_headers)
            callers = [asyncio.create_task(load.caller()) for _ in range(CALLERS)]
            served: Counter[str] = Counter()
            for number in range(restarts):
                name = NAMES[number % len(NAMES)]
                await _in_use(http, balancer.url, replicas)
                replicas[name].signal(signal.SIGTERM)
                assert await asyncio.to_thread(replicas[name].wait) == 0, replicas[name].output
                served[name] += len(replicas[name].events("mint")) + len(replicas[name].events("relay"))
                replicas[name] = await _started(stack, name, ports[name])
                told = f"restarts, {sum(load.answers.values()):,} answered, {len(load.failures)} failed"
                progress.at(number + 1, restarts, told)
            await _in_use(http, balancer.url, replicas)
            load.ended.set()
            await asyncio.gather(*callers)
    figures: Figures = {
        "restarts": restarts,
        "mints": load.answers["client_secrets"],
        "relays": load.answers["calls"],
        "failed": len(load.failures),
    }
    assert not load.failures, (figures, load.failures[:10])
    assert served.total() > 0, figures
    return figures


async def _started(stack: Stack, name: str, port: str) -> Replica:
    return await asyncio.to_thread(
        stack.replica,
        name,
        CLOAKROOM_PORT=port,
        CLOAKROOM_DRAIN_SECONDS=DRAIN_SECONDS,
        CLOAKROOM_WORKERS=WORKERS[name],
    )


async def _in_use(http: aiohttp.ClientSession, url: str, replicas: dict[str, Replica]) -> None:
    """Wait until the balancer gives requests to both: an operator's platform waits for readiness as well."""

    async def reaches(name: str) -> bool:
        async with http.get(f"{url}/livez") as answer:
            # A worker has a number behind it.
            return answer.headers.get("x-cloakroom-replica", "").startswith(name)

    for name in replicas:
        await eventually(lambda name=name: reaches(name), f"the balancer never uses {name}")  # type: ignore[misc]


DRILLS: Final = (Drill("rolling", promise="8a", minutes=3.5, rounds=20, run=roll),)
