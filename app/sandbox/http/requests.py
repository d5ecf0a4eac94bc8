"""Reading credentials and bodies off a request, the same for both providers."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from aiohttp import web

from .. import refusals
from ..faults import MEDIA
from ..provider import FAULT

SDP = "application/sdp"
# What a part may call itself. A plain form field has no type, and OpenAI's JavaScript guide sends such.
_PART_TYPES = {"sdp": (SDP, "text/plain"), "session": ("application/json", "text/plain")}


def bearer(request: web.Request) -> str | None:
    """The bearer token, or None. The scheme is case-insensitive (RFC 9110, section 11.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def media_fault(request: web.Request) -> str:
    """The fault that goes wrong after this call's answer; empty where none is armed."""
    fault = request.get(FAULT)
    return fault.kind if fault is not None and fault.kind in MEDIA else ""


async def json_body(request: web.Request) -> Any:
    """The body as JSON; an empty one is an empty object, as the provider has it.

    Raises Refusal (400) when the content type is another or the text is no JSON.
    """
    raw = await request.read()
    if not raw.strip():
        return {}
    if request.content_type != "application/json":
        raise refusals.unsupported_content_type(request.content_type, "application/json")
    return _parsed(raw)


async def sdp_body(request: web.Request) -> bytes:
    """A raw `application/sdp` body. Raises Refusal (400) when the content type is another."""
    if request.content_type != SDP:
        raise refusals.unsupported_content_type(request.content_type, SDP)
    return await request.read()


async def multipart_call(request: web.Request) -> tuple[bytes, Any]:
    """The parts `sdp` and `session` of a `multipart/form-data` call.

    Raises Refusal (400) for a missing, unknown or mistyped part.
    """
    raw = await request.read()
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + raw)
    parts: dict[str, bytes] = {}
    for part in form.iter_parts() if form.is_multipart() else ():
        name = str(part.get_param("name", "", header="content-disposition"))
        if name not in _PART_TYPES:
            raise refusals.unknown_parameter(name)
        if part.get_content_type() not in _PART_TYPES[name]:
            raise refusals.unsupported_content_type(part.get_content_type(), _PART_TYPES[name][0])
        content = part.get_payload(decode=True)
        parts[name] = content if isinstance(content, bytes) else b""
    for name in _PART_TYPES:
        if name not in parts:
            raise refusals.missing_parameter(name)
    return parts["sdp"], _parsed(parts["session"])


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError as error:
        raise refusals.bad_json() from error
