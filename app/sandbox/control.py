"""The control API under `/_sandbox/`: a test's window and levers. No authentication: it belongs on loopback.

| request | what |
|---|---|
| `GET /_sandbox/state` | counts by path, keys minted and live, calls, armed faults, the provider's time |
| `GET`, `DELETE /_sandbox/requests` | the journal of the last requests, newest last; clear it |
| `GET /_sandbox/calls` | every remembered call and its connection's state |
| `POST /_sandbox/events` | `{"event": {...}, "calls": [ids]}`: a server event to sidebands, by default all |
| `GET`, `POST`, `DELETE /_sandbox/faults` | show, arm, clear faults (`faults.Fault` names the fields) |
| `PUT /_sandbox/clock` | `{"skew": seconds}` sets the provider's clock |
"""

from __future__ import annotations

import json

from aiohttp import web

from .faults import read_fault
from .provider import PROVIDER


async def state(request: web.Request) -> web.Response:
    provider = request.app[PROVIDER]
    return web.json_response(
        {
            "requests": provider.journal.counts(),
            "keys": {"minted": provider.keys.minted, "live": provider.keys.live()},
            "calls": provider.calls.counts(),
            "faults": provider.faults.reports(),
            "clock": {"skew": provider.clock.skew, "time": provider.clock.time()},
            "peer": provider.config.peer,
        }
    )


async def requests(request: web.Request) -> web.Response:
    return web.json_response({"requests": request.app[PROVIDER].journal.reports()})


async def forget_requests(request: web.Request) -> web.Response:
    request.app[PROVIDER].journal.clear()
    return web.Response(status=204)


async def calls(request: web.Request) -> web.Response:
    return web.json_response({"calls": request.app[PROVIDER].calls.reports()})


async def tell(request: web.Request) -> web.Response:
    try:
        asked = await request.json()
        event, calls = asked["event"], asked.get("calls")
        only = None if calls is None else set(calls)
    except (ValueError, TypeError, KeyError, AttributeError):
        return web.json_response({"error": 'the body is {"event": {...}, "calls": [ids]}'}, status=400)
    told = request.app[PROVIDER].calls.tell(json.dumps(event), only)
    return web.json_response({"sidebands": told})


async def faults(request: web.Request) -> web.Response:
    return web.json_response({"faults": request.app[PROVIDER].faults.reports()})


async def arm(request: web.Request) -> web.Response:
    try:
        fault = read_fault(await request.json())
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[PROVIDER].faults.arm(fault)
    return web.json_response(fault.report(), status=201)


async def disarm(request: web.Request) -> web.Response:
    request.app[PROVIDER].faults.clear()
    return web.Response(status=204)


async def set_clock(request: web.Request) -> web.Response:
    try:
        skew = float((await request.json())["skew"])
    except (ValueError, TypeError, KeyError):
        return web.json_response({"error": 'the body is {"skew": seconds}'}, status=400)
    request.app[PROVIDER].clock.skew = skew
    return web.json_response({"skew": skew})


ROUTES = [
    web.get("/_sandbox/state", state),
    web.get("/_sandbox/requests", requests),
    web.delete("/_sandbox/requests", forget_requests),
    web.get("/_sandbox/calls", calls),
    web.post("/_sandbox/events", tell),
    web.get("/_sandbox/faults", faults),
    web.post("/_sandbox/faults", arm),
    web.delete("/_sandbox/faults", disarm),
    web.put("/_sandbox/clock", set_clock),
]
