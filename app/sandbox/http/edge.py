"""What surrounds every request at the provider: journal, faults, error bodies, request ids and dates."""

from __future__ import annotations

import asyncio
import secrets
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler

from .. import fault_wire, refusals
from ..faults import AFTER, BEFORE, MINTS
from ..provider import FAULT, PROVIDER
from ..refusals import Flavour, Refusal

CONTROL_PREFIX = "/_sandbox/"


def flavour_of(path: str) -> Flavour:
    """Whose path it is, and so whose error shape."""
    azure = path.startswith(("/openai/", "/voice-live/")) or path == "/v1/realtimertc"
    return "azure" if azure else "openai"


def operation_of(request: web.Request) -> str:
    """The route's operation, the same for both providers; `unknown` for a path that neither serves."""
    name = request.match_info.route.name
    return name.rpartition(".")[2] if name else "unknown"


def is_from_a_page(request: web.Request) -> bool:
    """Whether a web page may have sent it: pages send an `Origin`, or a name that was made to lead here.

    The control paths have no password, and a page in a developer's browser reaches loopback. An address, and
    a name without a dot, as `localhost` or a service of Compose, cannot be a page's on the internet.
    """
    if "Origin" in request.headers:
        return True
    name = request.url.host or ""
    try:
        ip_address(name)
    except ValueError:
        return "." in name.rstrip(".")
    return False


@web.middleware
async def provider_edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Note the request, let an armed fault strike, and turn refusals into the provider's error bodies."""
    if request.path.startswith(CONTROL_PREFIX):
        if is_from_a_page(request):
            raise web.HTTPMisdirectedRequest(text="the control paths are for programs on this network only\n")
        return await handler(request)
    provider = request.app[PROVIDER]
    operation = operation_of(request)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return error_answer(request, refusals.body_too_large())
    entry = provider.journal.begin(request, operation, body, provider.clock.time())
    fault = provider.faults.take(operation) if operation != "unknown" else None
    response: web.StreamResponse | None = None
    if fault is not None:
        request[FAULT] = fault
        entry.fault = fault.kind
        if fault.kind in BEFORE:
            response = await fault_wire.strike_before(request, fault)
    if response is None:
        if operation in MINTS:
            await asyncio.sleep(provider.config.mint_seconds)
        response = await _handled(request, handler)
        if fault is not None and fault.kind in AFTER and not response.prepared:
            response = await fault_wire.strike_after(request, fault, response)
    entry.status = response.status
    return response


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return error_answer(request, refusal)
    except web.HTTPNotFound:
        if flavour_of(request.path) == "azure":
            return error_answer(request, refusals.resource_not_found())
        return error_answer(request, refusals.no_such_url(request.method, request.path))
    except web.HTTPMethodNotAllowed:
        return error_answer(request, refusals.wrong_method(request.method, request.path))


def error_answer(request: web.Request, refusal: Refusal) -> web.Response:
    """The refusal in the shape of the provider whose path was asked."""
    return web.json_response(
        refusal.body(flavour_of(request.path)), status=refusal.status, headers=refusal.headers
    )


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Put the provider's clock and a request id on every answer, as both providers do."""
    if request.path.startswith(CONTROL_PREFIX):
        return
    response.headers["Date"] = request.app[PROVIDER].clock.http_date()
    response.headers.setdefault("x-request-id", f"req_{secrets.token_hex(16)}")
    if flavour_of(request.path) == "azure":
        response.headers.setdefault("apim-request-id", response.headers["x-request-id"][4:])
        response.headers.setdefault("x-ms-region", "East US 2")
