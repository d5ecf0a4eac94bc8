"""The control API under `/_sandbox/`: a test's window and levers. No authentication: it belongs on loopback.

| request | what |
|---|---|
| `GET /_sandbox/state` | counts by path, keys minted and live, calls, armed faults, the provider's time |
| `GET`, `DELETE /_sandbox/requests` | the journal of the last requests, newest last; clear it |
| `GET /_sandbox/calls` | every remembered call and its connection's state |
| `POST /_sandbox/events` | `{"event": {...}, "calls": [ids]}`: a server event to sidebands, by default all |
| `GET`, `POST`, `DELETE /_sandbox/faults` | show, arm, clear faults (`faults.Fault` names the fields) |
| `GET /_sandbox/issuer` | the identity provider's name and the ids of its keys |
| `POST /_sandbox/issuer/keys` | `{"algorithm": "ES256", "keep": true}`: a new key signs from now on |
| `POST /_sandbox/issuer/tokens` | `{"claims": {...}, "header": {...}}`: a token of any content |
| `PUT /_sandbox/clock` | `{"skew": seconds}` sets the provider's clock |
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .faults import read_fault
from .http.issuer import AUDIENCE, issuer_url
from .issuer import ALGORITHMS, DEFAULT_ALGORITHM
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


async def issuer_state(request: web.Request) -> web.Response:
    issuer = request.app[PROVIDER].issuer
    return web.json_response({"issuer": issuer_url(request), "kids": issuer.kids})


async def rotate_issuer(request: web.Request) -> web.Response:
    try:
        asked = {"algorithm": DEFAULT_ALGORITHM, "keep": True, **(await _asked(request))}
        if asked["algorithm"] not in ALGORITHMS or not isinstance(asked["keep"], bool):
            raise ValueError
    except ValueError:
        known = ", ".join(ALGORITHMS)
        return web.json_response({"error": f"algorithm is one of {known}; keep is true or false"}, status=400)
    key = request.app[PROVIDER].issuer.rotate(asked["algorithm"], keep=asked["keep"])
    return web.json_response({"kid": key.kid, "algorithm": key.algorithm}, status=201)


async def sign_token(request: web.Request) -> web.Response:
    try:
        asked = await _asked(request)
        claims = {"iss": issuer_url(request), "sub": "demo-user", "aud": AUDIENCE, **asked.get("claims", {})}
        token = request.app[PROVIDER].issuer.sign(claims, asked.get("header", {}))
    except (ValueError, TypeError):
        return web.json_response({"error": 'the body is {"claims": {...}, "header": {...}}'}, status=400)
    return web.json_response({"token": token}, status=201)


async def _asked(request: web.Request) -> dict[str, Any]:
    asked = await request.json() if await request.read() else {}
    if not isinstance(asked, dict):
        raise ValueError("no object")  # noqa: TRY004 - bad input is one error
    return asked


ROUTES = [
    web.get("/_sandbox/state", state),
    web.get("/_sandbox/requests", requests),
    web.delete("/_sandbox/requests", forget_requests),
    web.get("/_sandbox/calls", calls),
    web.post("/_sandbox/events", tell),
    web.get("/_sandbox/faults", faults),
    web.post("/_sandbox/faults", arm),
    web.delete("/_sandbox/faults", disarm),
    web.get("/_sandbox/issuer", issuer_state),
    web.post("/_sandbox/issuer/keys", rotate_issuer),
    web.post("/_sandbox/issuer/tokens", sign_token),
    web.put("/_sandbox/clock", set_clock),
]
