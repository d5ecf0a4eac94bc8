"""Servers that their users run themselves, each under a prefix of its own: they have the same paths.

- `/localai`: LocalAI. Source: its `realtime_webrtc.go` and `auth/middleware.go`.
- `/speech-to-speech`: Hugging Face's speech-to-speech. Source: its `websocket_router.py`.
- `/open`: a server that keeps OpenAI's paths, mints no keys and asks for none.

The first two refuse in other forms than OpenAI's, so they write their refusals themselves.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from aiohttp import web

from .. import refusals
from ..calls import CallTerms
from ..conversation.sessions import session_defaults
from ..keys import digest
from ..peer.offers import read_offer
from ..provider import PROVIDER
from ..refusals import Flavour, Refusal
from .mint import read_call_session
from .openai import check_model
from .requests import SDP, bearer, media_fault, multipart_call

TOO_MANY = 429


def _terms(flavour: Flavour, key: str | None, model: str) -> CallTerms:
    """A call whose page sends the session itself."""
    session = session_defaults("realtime", {"type": "realtime", "model": model})
    return CallTerms(flavour, digest(key or ""), model, session, standard=True)


# --- LocalAI ------------------------------------------------------------------------------------


async def localai_calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls?model=`: 201 and the answer, without a `Location`."""
    provider = request.app[PROVIDER]
    keys, key = provider.config.localai_keys, bearer(request)
    if keys and key not in keys:
        return _localai_stranger()
    if request.content_type != SDP:
        return web.json_response({"error": "invalid request body"}, status=400)
    sdp, model = await request.read(), request.query.get("model", "")
    if not sdp:
        return web.json_response({"error": "sdp is required"}, status=400)
    if not model:
        return web.json_response({"error": "model is required"}, status=400)
    terms = replace(_terms("localai", key, model), fault=media_fault(request))
    try:
        _, answer = await provider.calls.open(terms, read_offer(sdp))
    except Refusal as refusal:
        if refusal.status == TOO_MANY:
            return web.json_response({"error": "failed to create peer connection"}, status=500)
        return web.json_response({"error": "invalid SDP offer"}, status=400)
    return web.Response(status=201, body=answer.encode(), content_type=SDP)


def _localai_stranger() -> web.Response:
    error = {"code": 401, "message": "An authentication key is required", "type": "invalid_request_error"}
    return web.json_response({"error": error}, status=401, headers={"WWW-Authenticate": "Bearer"})


# --- Hugging Face's speech-to-speech ------------------------------------------------------------


async def speech_calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls`: 201, the answer, and the call id in `Location`; 503 without a free slot."""
    provider = request.app[PROVIDER]
    if SDP not in request.headers.get("Content-Type", ""):
        return web.Response(status=415, text="Content-Type must be application/sdp")
    terms = replace(_terms("speech-to-speech", None, ""), fault=media_fault(request))
    try:
        call, answer = await provider.calls.open(terms, read_offer(await request.read()))
    except Refusal as refusal:
        if refusal.status == TOO_MANY:
            return _no_slot(provider.config.peer_cap)
        return web.Response(status=400, text="Invalid SDP offer")
    return web.Response(
        status=201,
        body=answer.encode(),
        content_type=SDP,
        headers={"Location": f"/v1/realtime/calls/{call.call_id}"},
    )


def _no_slot(slots: int) -> web.Response:
    error = {
        "message": f"All {slots} session slots are in use. Disconnect an existing client first.",
        "type": "session_limit_reached",
        "code": None,
        "event_id": None,
        "param": None,
    }
    event = {"error": error, "event_id": f"event_{secrets.token_hex(12)}", "type": "error"}
    return web.json_response(event, status=503)


async def speech_hangup(request: web.Request) -> web.Response:
    """`DELETE /v1/realtime/calls/{id}`: 200, and the peer is gone; 404 for a call that is not there."""
    provider = request.app[PROVIDER]
    try:
        await provider.calls.hang_up(request.match_info["call_id"])
    except Refusal:
        return web.Response(status=404, text="Unknown call")
    return web.Response(status=200)


# --- any server that keeps OpenAI's paths -------------------------------------------------------


async def open_calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls`: as OpenAI's with a standard key, and nobody is asked for one."""
    provider = request.app[PROVIDER]
    if request.content_type != "multipart/form-data":
        raise refusals.unsupported_content_type(request.content_type, "multipart/form-data")
    sdp, asked = await multipart_call(request)
    mint = read_call_session(asked)
    check_model(provider, mint)
    session = session_defaults(mint.family, mint.session)
    terms = CallTerms(
        "openai",
        digest(bearer(request) or ""),
        str(session.get("model", "")),
        session,
        fault=media_fault(request),
        standard=True,
    )
    call, answer = await provider.calls.open(terms, read_offer(sdp))
    return web.Response(
        status=201,
        body=answer.encode(),
        content_type=SDP,
        headers={"Location": f"/v1/realtime/calls/{call.call_id}"},
    )


async def open_hangup(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls/{id}/hangup`: as OpenAI's, without a key."""
    await request.app[PROVIDER].calls.hang_up(request.match_info["call_id"])
    return web.Response(status=200)
