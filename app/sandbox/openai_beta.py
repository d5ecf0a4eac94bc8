"""OpenAI's beta mint paths, which are being retired and which old pages still use.

Source: OpenAI's API reference, `realtime-sessions`; the bodies are flat, and the key is inside
`client_secret`.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from . import refusals
from .keys import Family
from .mint_request import MintRequest
from .minting import mint_key
from .openai_api import check_model, standard_key
from .provider import PROVIDER
from .requests import json_body

# The beta's keys lived a minute.
BETA_SECONDS = 60


async def sessions(request: web.Request) -> web.Response:
    """`POST /v1/realtime/sessions`: 200 with a flat session and `client_secret: {value, expires_at}`."""
    body = await _beta_body(request)
    if not isinstance(body.get("model"), str):
        raise refusals.missing_parameter("model")
    session = {"type": "realtime", "model": body["model"]}
    return _mint(request, "realtime", session, {"object": "realtime.session", **body})


async def transcription_sessions(request: web.Request) -> web.Response:
    """`POST /v1/realtime/transcription_sessions`: the same, for transcription."""
    body = await _beta_body(request)
    asked = body.get("input_audio_transcription")
    if asked is not None and not isinstance(asked, dict):
        raise refusals.wrong_type("input_audio_transcription", "an object", asked)
    session = {"type": "transcription", "audio": {"input": {"transcription": asked}}}
    return _mint(request, "transcription", session, {"object": "realtime.transcription_session", **body})


async def _beta_body(request: web.Request) -> dict[str, Any]:
    standard_key(request, request.app[PROVIDER])
    if request.headers.get("OpenAI-Beta") != "realtime=v1":
        # The real code is not verified; that the header is required is.
        raise refusals.Refusal(
            400,
            "You must provide the 'OpenAI-Beta: realtime=v1' header to use this endpoint.",
            code="missing_beta_header",
        )
    body = await json_body(request)
    if not isinstance(body, dict):
        raise refusals.wrong_type("body", "an object", body)
    return body


def _mint(
    request: web.Request, family: Family, session: dict[str, Any], shown: dict[str, Any]
) -> web.Response:
    provider = request.app[PROVIDER]
    check_model(provider, MintRequest(family, session, BETA_SECONDS))
    value, expires_at, _ = mint_key(request, provider, "openai", family, session, BETA_SECONDS)
    return web.json_response(
        {
            "id": f"sess_{secrets.token_urlsafe(15)}",
            **shown,
            "client_secret": {"value": value, "expires_at": expires_at},
        }
    )
