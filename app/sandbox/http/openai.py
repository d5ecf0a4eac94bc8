"""OpenAI's generally available realtime paths.

Source: OpenAI's API reference, `realtime/client_secrets` and `realtime/calls`.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from .. import refusals
from ..calls import CallTerms
from ..conversation.sessions import model_of, session_defaults
from ..keys import Family, digest
from ..peer.offers import read_offer
from ..provider import PROVIDER, Provider
from .mint import MintRequest, mint_key, read_call_session, read_mint, read_translation_mint
from .requests import SDP, bearer, json_body, media_fault, multipart_call, sdp_body

# What the default list of models accepts: names by family, so that a model of tomorrow needs no change here.
_FAMILY_WORDS: dict[Family, tuple[str, ...]] = {
    "realtime": ("realtime",),
    "transcription": ("transcribe", "whisper", "realtime"),
    "translation": ("translate",),
}

# What the list of models names where every name is accepted.
_LISTED = (
    "gpt-live-1",
    "gpt-live-transcribe",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-translate",
)
_CREATED = 1_756_310_470


def standard_key(request: web.Request, provider: Provider) -> str:
    """The standard key of the request, or an access token of the exchange.

    Raises Refusal (401) for none and any other, ephemeral ones too.
    """
    key = bearer(request)
    if key is None:
        raise refusals.missing_key()
    if not is_standard(key, provider):
        raise refusals.wrong_key(key)
    return key


def is_standard(key: str, provider: Provider) -> bool:
    """Whether this is a standard key or a live access token."""
    return key in provider.config.openai_keys or provider.tokens.accepts(key)


def check_model(provider: Provider, mint: MintRequest) -> None:
    """Raises Refusal (404 `model_not_found`) for a model that this family does not have."""
    model = model_of(mint.family, mint.session)
    if model is None:
        return
    known = provider.config.openai_models
    end = provider.config.openai_ends.get(model)
    if end is not None and _today(provider) >= end:
        raise refusals.model_not_found(model)
    if model in known if known is not None else any(w in model for w in _FAMILY_WORDS[mint.family]):
        return
    raise refusals.model_not_found(model)


def _today(provider: Provider) -> str:
    return datetime.fromtimestamp(provider.clock.time(), UTC).date().isoformat()


async def models(request: web.Request) -> web.Response:
    """`GET /v1/models`: 200 with those that are still served; `shutdown_date` is a day, or null.

    Source: OpenAI's API reference, "List models".
    """
    provider = request.app[PROVIDER]
    standard_key(request, provider)
    ends, today = provider.config.openai_ends, _today(provider)
    names = sorted({*(provider.config.openai_models or _LISTED), *ends})
    data = [
        {
            "id": name,
            "object": "model",
            "created": _CREATED,
            "owned_by": "system",
            "shutdown_date": ends.get(name),
        }
        for name in names
        if name not in ends or today < ends[name]
    ]
    return web.json_response({"object": "list", "data": data})


async def client_secrets(request: web.Request) -> web.Response:
    """`POST /v1/realtime/client_secrets`: 200 with `{value, expires_at, session}`."""
    provider = request.app[PROVIDER]
    standard_key(request, provider)
    return _mint(request, provider, read_mint(await json_body(request), provider.config.key_seconds))


async def translation_client_secrets(request: web.Request) -> web.Response:
    """`POST /v1/realtime/translations/client_secrets`: the same, for the translation family."""
    provider = request.app[PROVIDER]
    standard_key(request, provider)
    mint = read_translation_mint(await json_body(request), provider.config.key_seconds)
    return _mint(request, provider, mint)


def _mint(request: web.Request, provider: Provider, mint: MintRequest) -> web.Response:
    check_model(provider, mint)
    value, expires_at, session = mint_key(
        request, provider, "openai", mint.family, mint.session, mint.seconds
    )
    return web.json_response({"value": value, "expires_at": expires_at, "session": session})


async def calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls`: 201, the answer, and the call id in `Location`."""
    return await _call(request, ("realtime", "transcription"))


async def translation_calls(request: web.Request) -> web.Response:
    """`POST /v1/realtime/translations/calls`: the same, for keys of the translation family only."""
    return await _call(request, ("translation",))


async def _call(request: web.Request, families: tuple[Family, ...]) -> web.Response:
    provider = request.app[PROVIDER]
    key = bearer(request)
    if key is None:
        raise refusals.missing_key()
    if is_standard(key, provider):
        sdp, terms = await _terms_of_standard_key(request, provider, key)
    else:
        opened = provider.keys.open(key, "openai", families)
        sdp = await sdp_body(request)
        terms = CallTerms("openai", opened.key_digest, opened.model, opened.session)
    terms = replace(terms, fault=media_fault(request))
    call, answer = await provider.calls.open(terms, read_offer(sdp))
    return web.Response(
        status=201,
        body=answer.encode(),
        content_type=SDP,
        headers={"Location": f"{request.path}/{call.call_id}"},
    )


async def _terms_of_standard_key(
    request: web.Request, provider: Provider, key: str
) -> tuple[bytes, CallTerms]:
    """A standard key brings no session, so the request must: as a part, or at least a model."""
    if request.content_type == "multipart/form-data":
        sdp, asked = await multipart_call(request)
        mint = read_call_session(asked)
    else:
        sdp = await sdp_body(request)
        if "model" not in request.query:
            raise refusals.missing_parameter("session")
        mint = read_call_session({"type": "realtime", "model": request.query["model"]})
    check_model(provider, mint)
    session = session_defaults(mint.family, mint.session)
    return sdp, CallTerms("openai", digest(key), str(session.get("model", "")), session, standard=True)


async def hangup(request: web.Request) -> web.Response:
    """`POST /v1/realtime/calls/{id}/hangup`: 200, and the peer is gone; 404 for a call that is not there."""
    provider = request.app[PROVIDER]
    standard_key(request, provider)
    await provider.calls.hang_up(request.match_info["call_id"])
    return web.Response(status=200)


# --- OpenAI's beta mint paths, which are being retired and which old pages still use ------------
#
# Source: OpenAI's API reference, `realtime-sessions`; the bodies are flat, and the key is inside
# `client_secret`.


# The beta's keys lived a minute.
BETA_SECONDS = 60


async def sessions(request: web.Request) -> web.Response:
    """`POST /v1/realtime/sessions`: 200 with a flat session and `client_secret: {value, expires_at}`."""
    body = await _beta_body(request)
    if not isinstance(body.get("model"), str):
        raise refusals.missing_parameter("model")
    session = {"type": "realtime", "model": body["model"]}
    return _mint_beta(request, "realtime", session, {"object": "realtime.session", **body})


async def transcription_sessions(request: web.Request) -> web.Response:
    """`POST /v1/realtime/transcription_sessions`: the same, for transcription."""
    body = await _beta_body(request)
    asked = body.get("input_audio_transcription")
    if asked is not None and not isinstance(asked, dict):
        raise refusals.wrong_type("input_audio_transcription", "an object", asked)
    session = {"type": "transcription", "audio": {"input": {"transcription": asked}}}
    return _mint_beta(request, "transcription", session, {"object": "realtime.transcription_session", **body})


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


def _mint_beta(
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
