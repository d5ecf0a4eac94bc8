"""The mint views: read the request, mint, and answer in the shape of each path."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

from aiohttp import hdrs, web

from app.broker.mint import Minted
from app.handles.bindings import shown_binding
from app.models import CALLS_PATH, TRANSLATION_CALLS_PATH
from app.web.answers import json_answer, overloaded
from app.web.appkeys import EARLY, LOG_LINE, MINTER, SETTINGS, TIMINGS, LogLine
from app.web.callers import minting_caller
from app.web.incoming import parse_json_object, read_timed_body
from app.web.schemas import MintHeaders, Parse, beta_session, parse_beta, parse_mint

_HOST = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}\Z")


async def mint(request: web.Request) -> web.Response:
    """``POST /v1/realtime/client_secrets``: a handle for a realtime or a transcription session."""
    _, minted = await _minted(request, parse_mint)
    return _secret(request, minted, CALLS_PATH)


async def mint_translation(request: web.Request) -> web.Response:
    """``POST /v1/realtime/translations/client_secrets``: a handle for a translation session."""
    _, minted = await _minted(request, partial(parse_mint, translation=True))
    return _secret(request, minted, TRANSLATION_CALLS_PATH)


async def mint_beta(request: web.Request) -> web.Response:
    """``POST /v1/realtime/sessions``: the beta's flat form of a realtime session."""
    return await _beta(request, transcription=False)


async def mint_beta_transcription(request: web.Request) -> web.Response:
    """``POST /v1/realtime/transcription_sessions``: the beta's flat form of a transcription session."""
    return await _beta(request, transcription=True)


# While the replica is full, their client's share decides.
MINT_VIEWS: Final = frozenset({mint, mint_translation, mint_beta, mint_beta_transcription})


async def _beta(request: web.Request, *, transcription: bool) -> web.Response:
    parse = partial(parse_beta, parse=parse_mint, transcription=transcription)
    body, minted = await _minted(request, parse)
    answer = beta_session(body, minted.session, transcription=transcription)
    return json_answer(answer | _our_fields(minted) | {"calls_url": _public_url(request) + CALLS_PATH})


async def _minted(request: web.Request, parse: Parse) -> tuple[dict[str, Any], Minted]:
    """Authenticate, read the body with ``parse``, and mint; also returns the body as sent."""
    app, line = request.app, LogLine("mint", request[TIMINGS])
    request[LOG_LINE] = line
    caller = await minting_caller(request, line)
    client, shares = caller.client.name, app[EARLY].shares
    # The gate leaves that to us, who know the client. As there, it is counted and has no line.
    if shares.refuses_mint(client):
        del request[LOG_LINE]
        raise overloaded()
    body = parse_json_object(request, await read_timed_body(request))
    headers = MintHeaders(
        caller.subject,
        request.headers.get(hdrs.ORIGIN),
        caller.safety_identifier,
        # A user calls from the page from which he mints.
        binds_origin=caller.signed_in,
    )
    mint_request = parse(body, headers=headers, default_model=app[SETTINGS].default_model)
    fields = line.fields
    fields["model"], fields["family"] = mint_request.model, str(mint_request.family)
    line.timings.model = mint_request.model
    shares.take(client)
    try:
        minted = await app[MINTER].mint(caller.client, mint_request, line.timings)
    finally:
        shares.give_back(client)
        if line.timings.pool is not None:
            fields["pool"] = line.timings.pool
    deployment = minted.deployment
    fields["family"], fields["deployment"] = str(minted.family), deployment.name
    fields["handle"] = minted.handle_id
    if deployment.region is not None:
        fields["region"] = deployment.region
    return body, minted


def _secret(request: web.Request, minted: Minted, calls_path: str) -> web.Response:
    secret = {"value": minted.handle, "expires_at": minted.expires_at, "session": minted.session}
    return json_answer(secret | _our_fields(minted) | {"calls_url": _public_url(request) + calls_path})


def _our_fields(minted: Minted) -> dict[str, Any]:
    """Where pages written for LiteLLM and for the beta look for the handle; a call's limit, the binding."""
    fields: dict[str, Any] = {"client_secret": {"value": minted.handle, "expires_at": minted.expires_at}}
    if minted.max_call_seconds is not None:
        fields["max_call_seconds"] = minted.max_call_seconds
    if minted.binding:
        fields["bind"] = shown_binding(minted.binding)
    return fields


def _public_url(request: web.Request) -> str:
    """The origin under which the caller reaches us; empty where the Host header is not valid."""
    configured = request.app[SETTINGS].public_url
    if configured is not None:
        return configured
    return f"{request.scheme}://{request.host}" if _HOST.match(request.host) else ""
