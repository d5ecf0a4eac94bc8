"""The view of a call's ICE servers."""

from __future__ import annotations

from aiohttp import web

from app.providers.ice import as_json
from app.web.answers import json_answer
from app.web.appkeys import HANDLES, ICE_SERVERS, LOG_LINE, TIMINGS, LogLine
from app.web.incoming import credential


async def ice_servers(request: web.Request) -> web.Response:
    """``GET /v1/realtime/ice-servers``, for the bearer of a handle. It spends nothing."""
    app, line = request.app, LogLine("ice", request[TIMINGS])
    request[LOG_LINE] = line
    handle = app[HANDLES].verify(credential(request) or "")
    line.fields["handle"] = handle.id
    given = await app[ICE_SERVERS].for_handle(handle, line.timings)
    line.fields |= {
        "model": line.timings.model,
        "deployment": line.timings.deployment,
        "servers": len(given.servers),
    }
    found = [as_json(server) for server in given.servers]
    return json_answer({"ice_servers": found, "expires_at": given.expires_at})
