"""The views: read, call one use case, answer. No rule of the business lives here."""

from __future__ import annotations

import re
from typing import Final

import orjson
from aiohttp import hdrs, web

from app.appkeys import CLIENTS, HANDLES, LOG_LINE, MINTER, RELAY, SETTINGS, LogLine
from app.models import CALLS_PATH, Family
from app.web.bodies import SDP_TYPE, parse_json_object, parse_offer, read_body
from app.web.schemas import parse_mint

SUBJECT_HEADER: Final = "x-cloakroom-subject"
_BEARER: Final = "bearer "
_HOST = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}\Z")


async def mint(request: web.Request) -> web.Response:
    """``POST /v1/realtime/client_secrets``: a handle for a fresh ephemeral key."""
    app, line = request.app, LogLine("mint")
    request[LOG_LINE] = line
    client = app[CLIENTS].authenticate(_credential(request))
    line.fields["client"] = client.name
    settings = app[SETTINGS]
    body = await read_body(request, max_bytes=settings.max_body_bytes, timeout=settings.body_timeout_seconds)
    mint_request = parse_mint(
        parse_json_object(request, body),
        default_model=settings.default_model,
        subject=request.headers.get(SUBJECT_HEADER),
        origin=request.headers.get(hdrs.ORIGIN),
    )
    line.fields["model"] = mint_request.model
    minted = await app[MINTER].mint(client, mint_request, line.timings)
    line.fields |= {"deployment": minted.deployment, "handle": minted.handle_id}
    answer = {
        "value": minted.handle,
        "expires_at": minted.expires_at,
        "session": minted.session,
        "client_secret": {"value": minted.handle, "expires_at": minted.expires_at},
        "calls_url": _public_url(request, settings.public_url) + CALLS_PATH,
    }
    return web.Response(body=orjson.dumps(answer), content_type="application/json")


async def relay(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls``: the provider's SDP answer to the browser's offer."""
    app, line = request.app, LogLine("relay")
    request[LOG_LINE] = line
    settings = app[SETTINGS]
    handle = app[HANDLES].verify(_credential(request) or "")
    line.fields["handle"] = handle.id
    body = await read_body(request, max_bytes=settings.max_body_bytes, timeout=settings.body_timeout_seconds)
    offer = parse_offer(request, body)
    relayed = await app[RELAY].relay(handle, offer, Family.REALTIME, line.timings)
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


def _credential(request: web.Request) -> str | None:
    """The bearer token, or the ``api-key`` header that Azure-flavoured clients send."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is None:
        return request.headers.get("api-key")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return None


def _public_url(request: web.Request, configured: str | None) -> str:
    """The origin that the caller reaches us under; a Host header that is none is not repeated."""
    if configured is not None:
        return configured
    return f"{request.scheme}://{request.host}" if _HOST.match(request.host) else ""
