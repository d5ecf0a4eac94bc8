"""The relay views: the offer in one of its forms, one use case, and the provider's answer."""

from __future__ import annotations

from aiohttp import hdrs, web

from app.models import CALLS_PATH
from app.web.appkeys import HANDLES, LOG_LINE, RELAY, TIMINGS, LogLine
from app.web.bodies import SDP_TYPE, parse_offer, read_timed_body
from app.web.credentials import credential


async def relay(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls``: the answer to an offer. The ``?model=`` of old clients is ignored."""
    return await _relayed(request, translation=False)


async def relay_translation(request: web.Request) -> web.Response:
    """``POST /v1/realtime/translations/calls``: the same, for handles of translation sessions."""
    return await _relayed(request, translation=True)


async def _relayed(request: web.Request, *, translation: bool) -> web.Response:
    app, line = request.app, LogLine("relay", request[TIMINGS])
    request[LOG_LINE] = line
    handle = app[HANDLES].verify(credential(request) or "")
    line.fields["handle"] = handle.id
    offer = parse_offer(request, await read_timed_body(request), translation=translation)
    relayed = await app[RELAY].relay(handle, offer, line.timings)
    call_id = relayed.answer.call_id
    line.fields |= {
        "client": relayed.client,
        "model": relayed.model,
        "deployment": relayed.deployment,
        "call_id": call_id,
        "replayed": relayed.replayed,
    }
    headers = {hdrs.LOCATION: f"{CALLS_PATH}/{call_id}"} if call_id else {}
    return web.Response(body=relayed.answer.sdp, status=201, content_type=SDP_TYPE, headers=headers)
