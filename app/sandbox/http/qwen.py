"""Qwen-Omni's paths at Alibaba Cloud Model Studio.

Source: Model Studio's "Generate a temporary API key" and "Qwen-Omni-Realtime: access over WebRTC". Not
verified: the status of an answer, and whether it has a `Location`; so it is a plain 200 without one, the
poorest that a caller must accept.
"""

from __future__ import annotations

import secrets

from aiohttp import web

from ..calls import CallTerms
from ..conversation.sessions import session_defaults
from ..keys import digest
from ..peer.offers import read_offer
from ..provider import FAULT, PROVIDER, Provider
from ..refusals import Refusal
from .requests import SDP, bearer, media_fault

LIFE_MIN, LIFE_MAX, LIFE = 1, 1800, 60


def _refused(status: int, code: str, message: str) -> web.Response:
    body = {"code": code, "message": message, "request_id": secrets.token_hex(16)}
    return web.json_response(body, status=status)


def _stranger() -> web.Response:
    return _refused(401, "InvalidApiKey", "Invalid API-key provided.")


async def tokens(request: web.Request) -> web.Response:
    """`POST /api/v1/tokens?expire_in_seconds=`: 200 with `{token, expires_at}`."""
    provider = request.app[PROVIDER]
    if bearer(request) not in provider.config.qwen_keys:
        return _stranger()
    asked = request.query.get("expire_in_seconds", str(LIFE))
    if not asked.isdecimal() or not LIFE_MIN <= int(asked) <= LIFE_MAX:
        return _refused(400, "InvalidParameter", f"expire_in_seconds must be {LIFE_MIN} to {LIFE_MAX}.")
    fault = request.get(FAULT)
    early = fault.seconds if fault is not None and fault.kind == "expire_early" else None
    value, key = provider.keys.mint("qwen", "realtime", {}, int(asked), early)
    return web.json_response({"token": value, "expires_at": key.expires_at})


async def calls(request: web.Request) -> web.Response:
    """`POST /api/v1/webrtc/realtime?model=`: 200 and the SDP answer."""
    provider = request.app[PROVIDER]
    key, model = bearer(request), request.query.get("model", "")
    if key is None or not _opens(provider, key):
        return _stranger()
    if request.content_type != SDP:
        return _refused(400, "InvalidParameter", "Content-Type must be application/sdp.")
    if "realtime" not in model:
        return _refused(404, "ModelNotFound", f"Model {model} not exist.")
    session = session_defaults("realtime", {"type": "realtime", "model": model})
    terms = CallTerms(
        "qwen",
        digest(key),
        model,
        session,
        fault=media_fault(request),
        standard=key in provider.config.qwen_keys,
    )
    try:
        _, answer = await provider.calls.open(terms, read_offer(await request.read()))
    except Refusal as refusal:
        code = "Throttling" if refusal.status == 429 else "InvalidParameter"
        return _refused(refusal.status, code, refusal.message)
    return web.Response(body=answer.encode(), content_type=SDP)


def _opens(provider: Provider, key: str) -> bool:
    if key in provider.config.qwen_keys:
        return True
    try:
        provider.keys.open(key, "qwen", ("realtime",))
    except Refusal:
        return False
    return provider.config.qwen_temporary_calls
