"""``python -m tests.bench.cpu``: CPU microseconds per mint and relay, Cloakroom beside the floor.

The server's own CPU time (user and system, from /proc) over a counted number of requests: it barely moves on
a noisy machine, while wall-clock figures do.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from pathlib import Path

import aiohttp

from app.store.engine import LocalEngine
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.processes import Process, Replica

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "2000"))
CONNECTIONS = 16
_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far, to the nanosecond where the kernel tells it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mb(pid: int) -> float:
    """Resident memory of one process, megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def _load(http: aiohttp.ClientSession, url: str, headers: dict[str, str], bodies: list[bytes]) -> None:
    work = iter(bodies)

    async def worker() -> None:
        for body in work:
            async with http.post(url, data=body, headers=headers) as response:
                await response.read()
                assert response.status in (200, 201), await response.text()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


async def _measure(
    http: aiohttp.ClientSession, pid: int, url: str, headers: dict[str, str], bodies: list[bytes]
) -> float:
    before = cpu_seconds(pid)
    await _load(http, url, headers, bodies)
    return (cpu_seconds(pid) - before) / len(bodies) * 1e6


async def run() -> None:
    planted = Planted()
    with LocalEngine() as engine, Process(["tests.bench.provider"], {}) as provider:
        upstream = f"http://127.0.0.1:{provider.wait_for_event('provider_ready')['port']}/v1"
        floor_environment = {"FLOOR_PROVIDER": upstream, "FLOOR_REDIS": engine.url}
        ours_environment = planted.environment(
            CLOAKROOM_REDIS_URL=engine.url, OPENAI_API_KEY=planted.openai_key, OPENAI_BASE_URL=upstream
        )
        with (
            Process(["tests.bench.floor"], floor_environment) as floor,
            Replica("bench", ours_environment) as ours,
        ):
            floor_url = f"http://127.0.0.1:{floor.wait_for_event('floor_ready')['port']}"
            async with aiohttp.ClientSession() as http:
                await _compare(http, planted, (floor.pid, floor_url), (ours.pid, ours.url))


async def _compare(
    http: aiohttp.ClientSession, planted: Planted, floor: tuple[int, str], ours: tuple[int, str]
) -> None:
    mint_headers = {"Authorization": f"Bearer {planted.client_key}", "Content-Type": "application/json"}
    mint_body = [b'{"model": "gpt-realtime"}']
    async with http.post(
        f"{ours[1]}/v1/realtime/client_secrets", data=mint_body[0], headers=mint_headers
    ) as answer:
        assert answer.status == 200, await answer.text()
        handle = (await answer.json())["value"]
    relay_headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"}
    figures: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        for name, (pid, base) in (("floor", floor), ("cloakroom", ours)):
            offers = [fresh_offer() for _ in range(REQUESTS)]
            mint_us = await _measure(
                http, pid, f"{base}/v1/realtime/client_secrets", mint_headers, mint_body * REQUESTS
            )
            relay_us = await _measure(http, pid, f"{base}/v1/realtime/calls", relay_headers, offers)
            if number:  # the first round warms up
                figures.setdefault(f"{name} mint", []).append(mint_us)
                figures.setdefault(f"{name} relay", []).append(relay_us)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in medians.items():
        sys.stdout.write(f"{name:16} {value:7.0f} us CPU a request\n")
    for kind in ("mint", "relay"):
        ratio = medians[f"cloakroom {kind}"] / medians[f"floor {kind}"]
        sys.stdout.write(f"{kind:16} {ratio:7.2f} times the floor\n")
    sys.stdout.write(
        f"memory           {memory_mb(floor[0]):7.0f} MB floor, {memory_mb(ours[0]):.0f} MB cloakroom\n"
    )


if __name__ == "__main__":
    asyncio.run(run())
