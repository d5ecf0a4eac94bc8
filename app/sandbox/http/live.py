"""GPT-Live at OpenAI (`/v1/live/sessions`) and at Azure (`/openai/v1/live/sessions`): no ephemeral keys.

Source: `client.live` and `openai/types/live` of OpenAI's Python SDK 3.52. Guesses, since nothing tells: the
form of ids, the code of a session that is not there, and that Azure answers exactly alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from .. import refusals
from ..calls import Call, CallTerms
from ..keys import digest
from ..peer.offers import read_offer
from ..provider import PROVIDER, Provider
from ..refusals import Flavour, Refusal
from .azure import no_api_version, resource_key
from .openai import standard_key
from .requests import bearer, json_body, media_fault
from .sideband import attached, upgradable

_SESSION = (
    "model",
    "audio",
    "client",
    "delegation",
    "input",
    "instructions",
    "safety_identifier",
    "store",
    "triggers",
)
_DELEGATIONS = ("client", "responses", "decisions")


async def openai_create(request: web.Request) -> web.Response:
    """`POST /v1/live/sessions` with OpenAI's standard key."""
    provider = request.app[PROVIDER]
    return await _created(request, provider, "openai", standard_key(request, provider))


async def azure_create(request: web.Request) -> web.Response:
    """`POST /openai/v1/live/sessions` with the resource's key or an Entra token."""
    provider = request.app[PROVIDER]
    key = _azure_key(request, provider)
    return await _created(request, provider, "azure", key)


async def openai_hangup(request: web.Request) -> web.Response:
    """`POST /v1/live/sessions/{id}/hangup`: 200, and the session is over."""
    standard_key(request, request.app[PROVIDER])
    return await _hung_up(request, "openai")


async def azure_hangup(request: web.Request) -> web.Response:
    """`POST /openai/v1/live/sessions/{id}/hangup`: the same."""
    _azure_key(request, request.app[PROVIDER])
    return await _hung_up(request, "azure")


async def openai_attach(request: web.Request) -> web.StreamResponse:
    """`WSS /v1/live/sessions/{id}/attach[?graceful_close=true]`."""
    standard_key(request, request.app[PROVIDER])
    return await _attached(request, "openai")


async def azure_attach(request: web.Request) -> web.StreamResponse:
    """`WSS /openai/v1/live/sessions/{id}/attach`: the same."""
    _azure_key(request, request.app[PROVIDER])
    return await _attached(request, "azure")


def _azure_key(request: web.Request, provider: Provider) -> str:
    no_api_version(request)
    resource_key(request, provider)
    return request.headers.get("api-key") or bearer(request) or ""


async def _created(request: web.Request, provider: Provider, flavour: Flavour, key: str) -> web.Response:
    body = await json_body(request)
    _known(body, "", ("session", "transport"))
    session, sdp = _session(body.get("session")), _sdp(body.get("transport"))
    model = str(session["model"])
    _check_model(provider, flavour, model)
    shown = {
        "status": "active",
        "store": False,
        "delegation": {"type": "client"},
        "audio": {"output": {"voice": "marin"}},
        "expires_at": int(provider.clock.time() + provider.config.call_seconds),
        **session,
    }
    terms = CallTerms(
        flavour, digest(key), model, shown, fault=media_fault(request), standard=True, gpt_live=True
    )
    call, answer = await provider.calls.open(terms, read_offer(sdp.encode()))
    created = {"session": {"id": call.call_id}, "transport": {"type": "webrtc", "sdp": answer}}
    return web.json_response(created, status=201)


async def _hung_up(request: web.Request, flavour: Flavour) -> web.Response:
    call = _found(request, flavour)
    await request.app[PROVIDER].calls.hang_up(call.call_id)
    return web.Response(status=200)


async def _attached(request: web.Request, flavour: Flavour) -> web.StreamResponse:
    if request.query.get("graceful_close", "true") not in ("true", "false"):
        raise refusals.wrong_value("graceful_close", request.query["graceful_close"], ("true", "false"))
    socket = upgradable(request)
    return await attached(request, socket, _found(request, flavour))


def _found(request: web.Request, flavour: Flavour) -> Call:
    session_id = request.match_info["session_id"]
    try:
        call = request.app[PROVIDER].calls.live(session_id)
    except Refusal:
        raise refusals.session_not_found(session_id) from None
    if not call.terms.gpt_live or call.terms.provider != flavour:
        raise refusals.session_not_found(session_id)
    return call


def _check_model(provider: Provider, flavour: Flavour, name: str) -> None:
    """A Live model at OpenAI; at Azure a deployment that serves one."""
    if flavour == "openai":
        known = provider.config.openai_models
        if name not in known if known is not None else not _is_live(name):
            raise refusals.model_not_found(name)
        return
    base = provider.config.azure_deployments.get(name)
    if base is None:
        raise refusals.deployment_not_found()
    if not _is_live(base):
        raise refusals.operation_not_supported(base)


def _is_live(model: str) -> bool:
    return "gpt-live" in model and "transcribe" not in model


def _session(session: Any) -> dict[str, Any]:
    if session is None:
        raise refusals.missing_parameter("session")
    _known(session, "session", _SESSION)
    if not isinstance(session.get("model"), str):
        raise refusals.missing_parameter("session.model")
    for name in ("instructions", "safety_identifier"):
        if not isinstance(session.get(name), str | None):
            raise refusals.wrong_type(f"session.{name}", "a string", session[name])
    if "audio" in session:
        _known(session["audio"], "session.audio", ("output",))
        _known(session["audio"].get("output", {}), "session.audio.output", ("voice",))
    delegation = session.get("delegation")
    if delegation is not None and (
        not isinstance(delegation, dict) or delegation.get("type") not in _DELEGATIONS
    ):
        raise refusals.wrong_value("session.delegation.type", delegation, _DELEGATIONS)
    if "client" in session:
        _client(session["client"])
    return dict(session)


def _client(client: Any) -> None:
    place = "session.client.data_channel"
    _known(client, "session.client", ("data_channel",))
    if "data_channel" not in client:
        raise refusals.missing_parameter(place)
    channel = client["data_channel"]
    _known(channel, place, ("allowed_client_events", "allowed_server_events"))
    sends, sees = channel.get("allowed_client_events", "all"), channel.get("allowed_server_events", "all")
    if sends != "all" and not _all_are(sends, str):
        raise refusals.wrong_type(f"{place}.allowed_client_events", "an array of strings", sends)
    if sees == "all":
        return
    if not _all_are(sees, dict):
        raise refusals.wrong_type(f"{place}.allowed_server_events", "an array of objects", sees)
    for entry in sees:
        _known(entry, f"{place}.allowed_server_events", ("type", "response_event"))
        nested = entry.get("type") == "response.event"
        if nested != ("response_event" in entry) or not isinstance(entry.get("type"), str):
            raise refusals.missing_parameter(f"{place}.allowed_server_events.response_event")


def _all_are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _sdp(transport: Any) -> str:
    if transport is None:
        raise refusals.missing_parameter("transport")
    _known(transport, "transport", ("type", "sdp"))
    if transport.get("type") != "webrtc":
        raise refusals.wrong_value("transport.type", transport.get("type"), ("webrtc",))
    sdp = transport.get("sdp")
    if not isinstance(sdp, str):
        raise refusals.missing_parameter("transport.sdp")
    return sdp


def _known(value: Any, prefix: str, names: Iterable[str]) -> None:
    if not isinstance(value, dict):
        raise refusals.wrong_type(prefix or "body", "an object", value)
    for name in value:
        if name not in names:
            raise refusals.unknown_parameter(f"{prefix}.{name}" if prefix else name)
