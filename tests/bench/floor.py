"""The floor: a bare aiohttp server with the same provider POST and Redis round trips, and no more."""

from __future__ import annotations

import os
import secrets
import sys

import aiohttp
import redis.asyncio as redis
from aiohttp import web

PROVIDER = os.environ["FLOOR_PROVIDER"]
STORE: redis.Redis = redis.Redis.from_url(os.environ["FLOOR_REDIS"], decode_responses=True)
SESSION = web.AppKey("session", aiohttp.ClientSession)
HEADERS = {"Authorization": "Bearer sk-floor"}
# As many bytes as a sealed key and its record.
RECORD = "x" * 300
_SAVE = "redis.call('HSET',KEYS[1],'r',ARGV[1]) redis.call('PEXPIRE',KEYS[1],600000) return 1"
_CLAIM = "return redis.call('HMGET',KEYS[1],'r','s','t')"


async def mint(request: web.Request) -> web.Response:
    await request.read()
    async with request.app[SESSION].post(
        f"{PROVIDER}/realtime/client_secrets", data=b'{"session":{}}', headers=HEADERS
    ) as answer:
        body = await answer.read()
    await STORE.evalsha(request.app[SAVE], 1, "floor:" + secrets.token_urlsafe(16), RECORD)
    return web.Response(body=body, content_type="application/json")


async def relay(request: web.Request) -> web.Response:
    offer = await request.read()
    await STORE.evalsha(request.app[CLAIM], 1, "floor:x")
    async with request.app[SESSION].post(f"{PROVIDER}/realtime/calls", data=offer, headers=HEADERS) as answer:
        body = await answer.read()
        location = answer.headers["Location"]
    await STORE.evalsha(request.app[SAVE], 1, "floor:" + location, RECORD)
    return web.Response(body=body, status=201, content_type="application/sdp", headers={"Location": location})


SAVE = web.AppKey("save", str)
CLAIM = web.AppKey("claim", str)


async def make() -> web.Application:
    app = web.Application()
    app[SESSION] = aiohttp.ClientSession()
    app[SAVE] = await STORE.script_load(_SAVE)
    app[CLAIM] = await STORE.script_load(_CLAIM)
    app.add_routes([web.post("/v1/realtime/client_secrets", mint), web.post("/v1/realtime/calls", relay)])
    return app


async def main() -> None:
    runner = web.AppRunner(await make(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f'{{"event": "floor_ready", "port": {runner.addresses[0][1]}}}\n')
    sys.stdout.flush()
    import asyncio

    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
