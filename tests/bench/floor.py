"""The floor: a bare aiohttp server with the same provider POST and Redis round trips, and no more.

Written as one writes it: aiohttp's client and redis-py with hiredis as they come, on uvloop. The first
segment of a path says how many round trips to Redis the request makes: ``/2/v1/realtime/calls`` makes two.
Below ``/0`` the server reads the request and answers, and asks nobody.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import redis.asyncio as redis
from aiohttp import web

PROVIDER = os.environ["FLOOR_PROVIDER"]
STORE: redis.Redis = redis.Redis.from_url(
    os.environ["FLOOR_REDIS"], decode_responses=True, max_connections=1024
)
SESSION = web.AppKey("session", aiohttp.ClientSession)
SAVE = web.AppKey("save", str)
CLAIM = web.AppKey("claim", str)
HEADERS = {"Authorization": "Bearer sk-floor"}
MOST_TRIPS: Final = 4
# As many bytes as a sealed key and its record.
RECORD = "x" * 300
_SAVE = "redis.call('HSET',KEYS[1],'r',ARGV[1]) redis.call('PEXPIRE',KEYS[1],600000) return 1"
_CLAIM = "return redis.call('HMGET',KEYS[1],'r','s','t')"

Handler = Callable[[web.Request], Awaitable[web.Response]]


def mint(trips: int) -> Handler:
    """Count as often as needed, mint, save."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        for _ in range(trips - 1):
            await STORE.incr("floor:count")
        async with request.app[SESSION].post(
            f"{PROVIDER}/realtime/client_secrets", data=b'{"session":{}}', headers=HEADERS
        ) as answer:
            body = await answer.read()
        await STORE.evalsha(request.app[SAVE], 1, "floor:" + secrets.token_urlsafe(16), RECORD)
        return web.Response(body=body, content_type="application/json")

    return handler


def relay(trips: int) -> Handler:
    """Claim, relay, settle."""

    async def handler(request: web.Request) -> web.Response:
        offer = await request.read()
        for _ in range(trips - 1):
            await STORE.evalsha(request.app[CLAIM], 1, "floor:x")
        async with request.app[SESSION].post(
            f"{PROVIDER}/realtime/calls", data=offer, headers=HEADERS
        ) as answer:
            body = await answer.read()
            location = answer.headers["Location"]
        await STORE.evalsha(request.app[SAVE], 1, "floor:" + location, RECORD)
        return web.Response(
            body=body, status=201, content_type="application/sdp", headers={"Location": location}
        )

    return handler


async def answer(request: web.Request) -> web.Response:
    """The least that a request can cost here."""
    await request.read()
    return web.Response(body=b'{"value":"ek_floor"}', content_type="application/json")


async def make() -> web.Application:
    app = web.Application()
    app[SESSION] = aiohttp.ClientSession()
    app[SAVE] = await STORE.script_load(_SAVE)
    app[CLAIM] = await STORE.script_load(_CLAIM)
    app.router.add_post("/0/v1/realtime/client_secrets", answer)
    for trips in range(1, MOST_TRIPS + 1):
        app.router.add_post(f"/{trips}/v1/realtime/client_secrets", mint(trips))
        app.router.add_post(f"/{trips}/v1/realtime/calls", relay(trips))
    return app


async def main() -> None:
    runner = web.AppRunner(await make(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f'{{"event": "floor_ready", "port": {runner.addresses[0][1]}}}\n')
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
