"""Azure OpenAI's generally available realtime paths.

Source: Microsoft's guide "Use the GPT Realtime API via WebRTC" and reports of its users. Where Azure
differs from OpenAI it differs here: the header, the deployment's name, no `api-version`, raw SDP only, and
the shape of errors.
"""

from __future__ import annotations

from aiohttp import web

from . import azure_refusals
from .calls import CallTerms
from .keys import Family
from .mint_request import read_mint
from .minting import mint_key
from .offers import read_offer
from .provider import PROVIDER, Provider
from .refusals import missing_parameter
from .requests import SDP, bearer, json_body, sdp_body
from .sessions import model_of

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
            raise azure_refusals.access_denied()
    elif token is None:
        raise azure_refusals.access_denied()
    elif token not in provider.config.azure_tokens:
        raise azure_refusals.token_refused()


def no_api_version(request: web.Request) -> None:
    """Raises Refusal (401) when the query names an api-version, which the GA surface does not take."""
    if "api-version" in request.query:
        raise azure_refusals.api_version_on_ga()


def check_deployment(provider: Provider, family: Family, name: str) -> None:
    """Raises Refusal unless `name` is a deployment whose base model serves the family.

    400 `OpperationNotSupported` for a model's name and for a deployment of another kind, 404
    `DeploymentNotFound` for a name that is neither.
    """
    deployments = provider.config.azure_deployments
    base = deployments.get(name)
    if base is None:
        if name in deployments.values() or "realtime" in name:
            raise azure_refusals.operation_not_supported(name)
        raise azure_refusals.deployment_not_found()
    if not any(word in base for word in _SERVES[family]):
        raise azure_refusals.operation_not_supported(base)


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
    # The transcription inside a realtime session is a deployment of its own, not a model's name.
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
        raise azure_refusals.token_refused()
    opened = provider.keys.open(key, "azure", ("realtime", "transcription"))
    sdp = await sdp_body(request)
    terms = CallTerms(
        "azure",
        opened.key_digest,
        opened.model,
        opened.session,
        filtered=request.query.get("webrtcfilter") == "on",
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
