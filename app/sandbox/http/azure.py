"""Azure OpenAI's generally available realtime paths.

Source: Microsoft's guide "Use the GPT Realtime API via WebRTC" and reports of its users. Where Azure
differs from OpenAI it differs here: the header, the deployment's name, no `api-version`, raw SDP only, and
the shape of errors.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from .. import refusals
from ..calls import CallTerms
from ..conversation.sessions import model_of
from ..keys import Family
from ..peer.offers import read_offer
from ..provider import PROVIDER, Provider
from ..refusals import missing_parameter
from .mint import mint_key, read_mint
from .requests import SDP, bearer, json_body, media_fault, sdp_body

# The base models that serve each family, by words in their names.
_SERVES: dict[Family, tuple[str, ...]] = {
    "realtime": ("realtime",),
    "preview": ("realtime",),
    "transcription": ("transcribe", "whisper"),
}


def resource_key(request: web.Request, provider: Provider) -> None:
    """Raises Refusal (401) unless the request carries the resource's key or an accepted Entra token."""
    key, token = request.headers.get("api-key"), bearer(request)
    if key is not None:
        if key not in provider.config.azure_keys:
            raise refusals.access_denied()
    elif token is None:
        raise refusals.access_denied()
    elif token not in provider.config.azure_tokens:
        raise refusals.token_refused()


def no_api_version(request: web.Request) -> None:
    """Raises Refusal (401) when the query names an api-version, which the GA surface does not take."""
    if "api-version" in request.query:
        raise refusals.api_version_on_ga()


def check_deployment(provider: Provider, family: Family, name: str) -> None:
    """Raises Refusal unless `name` is a deployment whose base model serves the family.

    400 `OpperationNotSupported` for a model's name and for a deployment of another kind, 404
    `DeploymentNotFound` for a name that is neither.
    """
    deployments = provider.config.azure_deployments
    base = deployments.get(name)
    if base is None:
        if name in deployments.values() or "realtime" in name:
            raise refusals.operation_not_supported(name)
        raise refusals.deployment_not_found()
    if not any(word in base for word in _SERVES[family]):
        raise refusals.operation_not_supported(base)


async def client_secrets(request: web.Request) -> web.Response:
    """`POST /openai/v1/realtime/client_secrets`: 200 with `{value, expires_at, session}`."""
    provider = request.app[PROVIDER]
    no_api_version(request)
    resource_key(request, provider)
    body = await json_body(request)
    if isinstance(body, dict) and "session" not in body:
        raise missing_parameter("session.type")
    mint = read_mint(body, provider.config.key_seconds)
    name = model_of(mint.family, mint.session)
    if name is None:
        raise missing_parameter("session.model")
    check_deployment(provider, mint.family, name)
    # The transcription inside a realtime session is a deployment too, not a model's name.
    listener = model_of("transcription", mint.session)
    if listener is not None:
        check_deployment(provider, "transcription", listener)
    value, expires_at, session = mint_key(request, provider, "azure", mint.family, mint.session, mint.seconds)
    return web.json_response({"value": value, "expires_at": expires_at, "session": session})


async def calls(request: web.Request) -> web.Response:
    """`POST /openai/v1/realtime/calls[?webrtcfilter=on]`: 201, the answer, and the call id in `Location`."""
    provider = request.app[PROVIDER]
    no_api_version(request)
    key = bearer(request)
    if key is None:
        raise refusals.token_refused()
    opened = provider.keys.open(key, "azure", ("realtime", "transcription"))
    sdp = await sdp_body(request)
    terms = CallTerms(
        "azure",
        opened.key_digest,
        opened.model,
        opened.session,
        filtered=request.query.get("webrtcfilter") == "on",
        fault=media_fault(request),
    )
    call, answer = await provider.calls.open(terms, read_offer(sdp))
    return web.Response(
        status=201,
        body=answer.encode(),
        content_type=SDP,
        headers={"Location": f"{request.path}/{call.call_id}"},
    )


async def hangup(request: web.Request) -> web.Response:
    """`POST /openai/v1/realtime/calls/{id}/hangup`: 200, and the peer is gone."""
    provider = request.app[PROVIDER]
    no_api_version(request)
    resource_key(request, provider)
    await provider.calls.hang_up(request.match_info["call_id"])
    return web.Response(status=200)


# --- Azure OpenAI's preview paths, off unless the configuration asks -----------------------------
#
# Source: Microsoft's guide of April 2025; the status of the SDP answer is not verified there, so it is a
# plain 200 without `Location`, the poorer of the two that a caller must accept.


API_VERSIONS = ("2025-04-01-preview",)
# "The ephemeral API key is valid for one minute."
KEY_SECONDS = 60


def _served(provider: Provider) -> None:
    if not provider.config.azure_preview:
        raise refusals.resource_not_found()


async def sessions(request: web.Request) -> web.Response:
    """`POST /openai/realtimeapi/sessions?api-version=...`: 200 with `{id, client_secret}`."""
    provider = request.app[PROVIDER]
    _served(provider)
    version = request.query.get("api-version")
    if version is None:
        raise refusals.resource_not_found()
    if version not in API_VERSIONS:
        raise refusals.preview_version_not_served(request.path)
    resource_key(request, provider)
    body: Any = await json_body(request)
    if not isinstance(body, dict):
        raise refusals.wrong_type("body", "an object", body)
    model = body.get("model")
    if not isinstance(model, str):
        raise refusals.missing_parameter("model")
    check_deployment(provider, "preview", model)
    value, expires_at, _ = mint_key(
        request, provider, "azure", "preview", {"type": "realtime", "model": model}, KEY_SECONDS
    )
    return web.json_response(
        {
            "id": f"sess_{secrets.token_urlsafe(15)}",
            "object": "realtime.session",
            **body,
            "client_secret": {"value": value, "expires_at": expires_at},
        }
    )


async def rtc(request: web.Request) -> web.Response:
    """`POST /v1/realtimertc?model=<deployment>`: 200 and the SDP answer."""
    provider = request.app[PROVIDER]
    _served(provider)
    key = bearer(request)
    if key is None:
        raise refusals.token_refused()
    opened = provider.keys.open(key, "azure", ("preview",))
    if request.query.get("model") != opened.model:
        raise refusals.deployment_not_found()
    sdp = await sdp_body(request)
    terms = CallTerms("azure", opened.key_digest, opened.model, opened.session, fault=media_fault(request))
    _, answer = await provider.calls.open(terms, read_offer(sdp))
    return web.Response(body=answer.encode(), content_type=SDP)
