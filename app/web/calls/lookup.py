"""The view of how a handle stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from aiohttp import web

from app.web.answers import json_answer
from app.web.appkeys import HANDLES, LOG_LINE, LOOKUP, TIMINGS, LogLine
from app.web.incoming import credential

LOOKUP_PATH: Final = "/realtime/handles/lookup"


async def lookup_handle(request: web.Request) -> web.Response:
    """``POST /v1/realtime/handles/lookup``, for the bearer of a handle. The request's body is ignored."""
    app, line = request.app, LogLine("lookup", request[TIMINGS])
    request[LOG_LINE] = line
    handle = app[HANDLES].verify(credential(request) or "")
    line.fields["handle"] = handle.id
    told = await app[LOOKUP].tell(handle, line.timings)
    line.fields["state"] = told.state
    return json_answer({"object": "realtime.handle", **asdict(told)})
