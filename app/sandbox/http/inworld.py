"""Inworld's paths, under `/inworld`: it keeps OpenAI's, takes JSON, and names ICE servers.

Source: Inworld's API reference, "Realtime API (WebRTC)", and its examples. The form of its refusals is not
verified; it is OpenAI's here.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .. import refusals
from ..calls import CallTerms
from ..conversation.sessions import session_defaults
from ..keys import digest
from ..peer.offers import read_offer
from ..provider import PROVIDER, Provider
from .mint import read_call_session
from .requests import SDP, bearer, json_body, media_fault, sdp_body
from .sideband import attached_by_query


def _key(request: web.Request, provider: Provider) -> str:
    """Raises Refusal (401) unless the request has a key of Inworld."""
    key = bearer(request)
    if key is None:
        raise refusals.missing_key()
    if key not in provider.config.inworld_keys:
        raise refusals.wrong_key(key)
    return key


async def calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls`: JSON `{sdp, session}` to `{id, sdp, ice_servers}`, or raw SDP to SDP."""
    provider = request.app[PROVIDER]
    key = _key(request, provider)
    if request.content_type == SDP:
        sdp, asked = await sdp_body(request), {"type": "realtime"}
    else:
        sdp, asked = _offer(await json_body(request))
    mint = read_call_session(asked)
    session = session_defaults(mint.family, mint.session)
    terms = CallTerms(
        "inworld",
        digest(key),
        str(session.get("model", "")),
        session,
        fault=media_fault(request),
        standard=True,
    )
    call, answer = await provider.calls.open(terms, read_offer(sdp))
    headers = {"Location": f"/v1/realtime/calls/{call.call_id}"}
    if request.content_type == SDP:
        return web.Response(status=201, body=answer.encode(), content_type=SDP, headers=headers)
    body = {"id": call.call_id, "sdp": answer, "ice_servers": list(provider.config.ice_servers)}
    return web.json_response(body, status=201)


def _offer(body: Any) -> tuple[bytes, Any]:
    if not isinstance(body, dict):
        raise refusals.wrong_type("body", "an object", body)
    for name in body:
        if name not in ("sdp", "session"):
            raise refusals.unknown_parameter(name)
    if not isinstance(body.get("sdp"), str):
        raise refusals.missing_parameter("sdp")
    return body["sdp"].encode(), body.get("session", {"type": "realtime"})


async def hangup(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls/{id}/hangup`: as OpenAI's."""
    provider = request.app[PROVIDER]
    _key(request, provider)
    await provider.calls.hang_up(request.match_info["call_id"])
    return web.Response(status=200)


async def sideband(request: web.Request) -> web.StreamResponse:
    """`WSS /v1/realtime?call_id=`: as OpenAI's."""
    provider = request.app[PROVIDER]
    _key(request, provider)
    return await attached_by_query(request, provider, "inworld")


async def ice_servers(request: web.Request) -> web.Response:
    """`GET /v1/realtime/ice-servers`: 200 with `{ice_servers}`."""
    provider = request.app[PROVIDER]
    _key(request, provider)
    return web.json_response({"ice_servers": list(provider.config.ice_servers)})
