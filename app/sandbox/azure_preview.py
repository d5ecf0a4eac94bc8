"""Azure OpenAI's preview paths, for resources that have not moved to GA. Off unless the configuration asks.

Source: Microsoft's guide of April 2025; the status of the SDP answer is not verified there, so it is a
plain 200 without `Location`, the poorer of the two that a caller must accept.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from . import azure_refusals, refusals
from .azure_api import check_deployment, resource_key
from .calls import CallTerms
from .minting import mint_key
from .offers import read_offer
from .provider import PROVIDER, Provider
from .requests import SDP, bearer, json_body, sdp_body

API_VERSIONS = ("2025-04-01-preview",)
# "The ephemeral API key is valid for one minute."
KEY_SECONDS = 60


def _served(provider: Provider) -> None:
    if not provider.config.azure_preview:
        raise azure_refusals.resource_not_found()


async def sessions(request: web.Request) -> web.Response:
    """`POST /openai/realtimeapi/sessions?api-version=...`: 200 with `{id, client_secret}`."""
    provider = request.app[PROVIDER]
    _served(provider)
    version = request.query.get("api-version")
    if version is None:
        raise azure_refusals.resource_not_found()
    if version not in API_VERSIONS:
        raise azure_refusals.preview_version_not_served(request.path)
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
        raise azure_refusals.token_refused()
    opened = provider.keys.open(key, "azure", ("preview",))
    if request.query.get("model") != opened.model:
        raise azure_refusals.deployment_not_found()
    sdp = await sdp_body(request)
    terms = CallTerms("azure", opened.key_digest, opened.model, opened.session)
    _, answer = await provider.calls.open(terms, read_offer(sdp))
    return web.Response(body=answer.encode(), content_type=SDP)
