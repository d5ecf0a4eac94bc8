"""The view that ends a call, and who may ask for it: a client with its key, or a browser with its handle."""

from __future__ import annotations

from aiohttp import web

from app.broker.hangup import NOT_FOUND_MESSAGE, Caller
from app.errors import CallNotFound, InvalidApiKey
from app.models import Client
from app.providers.base import is_call_id
from app.web.appkeys import CLIENTS, HANDLES, HANGUP, LOG_LINE, TIMINGS, LogLine
from app.web.credentials import credential

_WHO = (
    "Hanging up needs a client key of this service, or the handle that made the call: send "
    "'Authorization: Bearer <key or handle>'."
)


async def hang_up(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls/{call_id}/hangup``: 200 and nothing else. A body is not looked at."""
    line = request[LOG_LINE] = LogLine("hangup", request[TIMINGS])
    caller = _caller(request)
    line.fields |= {"client": caller.name} if isinstance(caller, Client) else {"handle": caller.id}
    call_id = _call_id(request)
    line.fields["call_id"] = call_id
    hangup = request.app[HANGUP]
    call = await hangup.find(call_id, caller, line.timings)
    line.fields |= {
        "client": call.client,
        "handle": call.handle,
        "model": call.model,
        "deployment": call.deployment,
    }
    line.fields["outcome"] = await hangup.hang_up(call, line.timings)
    return web.Response(status=200)


def _caller(request: web.Request) -> Caller:
    """Tell a client's key from a handle: a key is one when it is known, a handle when it has a JWT's dots.

    The handle may have expired, as a call outlives it.

    Raises:
        InvalidApiKey, InvalidHandle, HandleExpired
    """
    unverified = credential(request) or ""
    client = request.app[CLIENTS].find(unverified)
    if client is not None:
        return client
    if "." not in unverified:
        raise InvalidApiKey(_WHO)
    return request.app[HANDLES].verify(unverified, allow_expired=True)


def _call_id(request: web.Request) -> str:
    call_id = request.match_info["call_id"]
    if not is_call_id(call_id):
        raise CallNotFound(NOT_FOUND_MESSAGE, param="call_id")
    return call_id
