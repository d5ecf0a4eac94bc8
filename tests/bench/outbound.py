"""``python -m tests.bench.outbound``: CPU microseconds of one POST to the provider, and of aiohttp's.

    --posts 12800        a round
    --rounds 5

A bare exchange, which writes the same bytes to the same loop and waits for the next ones, shows what of
either is the kernel's and the loop's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

import aiohttp
import uvloop

from app.outbound.client import UpstreamClient
from app.outbound.http1 import target_of, written
from app.providers.base import UpstreamRequest
from app.telemetry.timings import Timings
from tests.bench import procfs
from tests.bench.nginx import Provider
from tests.bench.tools import run_to_end
from tests.support.egress import here

AT_ONCE: Final = 32
_SECONDS: Final = 10
_HEADERS: Final = {
    "Authorization": "Bearer sk-" + "x" * 160,
    "Content-Type": "application/json",
    "Accept": "application/json",
}
_BODY: Final = b'{"session":{"type":"realtime","model":"gpt-realtime-2.1"}}'

Post = Callable[[], Awaitable[None]]


class Bare(asyncio.Protocol):
    """A connection that takes any bytes for the whole answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answered = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._answered.set_result(None)

    async def exchange(self, request: bytes) -> None:
        assert self._transport is not None
        self._answered = self._loop.create_future()
        self._transport.write(request)
        await self._answered


async def _bare(request: UpstreamRequest) -> Post:
    target, loop = target_of(request.url), asyncio.get_running_loop()
    host, port = target.origin.host, target.origin.port
    free = [(await loop.create_connection(Bare, host, port))[1] for _ in range(AT_ONCE)]
    message = written("POST", target, request.headers, request.body)

    async def post() -> None:
        one = free.pop()
        await one.exchange(message)
        free.append(one)

    return post


def _by_aiohttp(session: aiohttp.ClientSession, request: UpstreamRequest) -> Post:
    limits = aiohttp.ClientTimeout(total=_SECONDS, connect=_SECONDS / 2)

    async def post() -> None:
        async with session.request(
            "POST",
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            timeout=limits,
        ) as answer:
            assert await answer.read()

    return post


def _by_ours(client: UpstreamClient, request: UpstreamRequest) -> Post:
    async def post() -> None:
        assert (await client.post(request, timeout=_SECONDS, timings=Timings())).body

    return post


async def _cost(post: Post, posts: int) -> float:
    """CPU microseconds of this process, kernel included, for one."""

    async def some(number: int) -> None:
        for _ in range(number):
            await post()

    await asyncio.gather(*(some(20) for _ in range(AT_ONCE)))
    before = time.process_time()
    await asyncio.gather(*(some(posts // AT_ONCE) for _ in range(AT_ONCE)))
    return (time.process_time() - before) / (posts // AT_ONCE * AT_ONCE) * 1e6


async def measure(url: str, *, posts: int, rounds: int) -> dict[str, list[float]]:
    """Costs of every round, by who made the requests; they take turns."""
    request = UpstreamRequest(f"{url}/realtime/client_secrets", _HEADERS, _BODY)
    client = UpstreamClient(connect_timeout=_SECONDS / 2, egress=here())
    connector = aiohttp.TCPConnector(limit=1024, keepalive_timeout=20, ttl_dns_cache=60)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"Accept-Encoding": "identity"}
    ) as session:
        contenders = {
            "bare exchange": await _bare(request),
            "aiohttp": _by_aiohttp(session, request),
            "cloakroom": _by_ours(client, request),
        }
        found: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, post in contenders.items():
                found[name].append(await _cost(post, posts))
    await client.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.outbound", description="CPU microseconds of one POST to the provider."
    )
    parser.add_argument("--posts", type=int, default=12_800)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    mine, others = procfs.split_cpus()
    with Provider(cpus=others) as provider:
        os.sched_setaffinity(0, mine)
        found = uvloop.run(measure(provider.url, posts=chosen.posts, rounds=chosen.rounds))
    for name, costs in found.items():
        each = " ".join(f"{cost:.1f}" for cost in costs)
        sys.stdout.write(f"{name:16}{statistics.median(costs):8.1f} us   {each}\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
