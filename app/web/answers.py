"""How an answer looks: the headers of all answers, JSON, files, and errors.

An error is always ``{"error": {"message", "type", "param", "code"}}``, wherever it was found: in a use case,
in aiohttp's router, or before there was a request that could be read.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
from aiohttp import ETag, hdrs, web

from app.errors import (
    CloakroomError,
    HostNotAllowed,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    Overloaded,
)
from app.telemetry.redaction import legible_json
from app.web.cors import EXPOSE_HEADERS, CorsPolicy, for_no_page

# Browsers keep a file but ask each time, so that a new release never runs with old modules.
_REVALIDATE: Final = "no-cache"
REQUEST_ID_HEADER: Final = "x-request-id"
REPLICA_HEADER: Final = "x-cloakroom-replica"
BASE_HEADERS: Final = {
    "Server": "cloakroom",
    "Vary": "Origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_JSON: Final = "application/json"
_INCOMING_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}\Z")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class AnswerHeaders:
    """The headers of every answer, those that pages may read, and which pages these are."""

    every: Mapping[str, str]
    exposed: str
    policy: CorsPolicy


def answer_headers(policy: CorsPolicy, *, replica: str | None = None) -> AnswerHeaders:
    """The headers of one service's answers, which name ``replica``, if given."""
    if replica is None:
        return AnswerHeaders(BASE_HEADERS, EXPOSE_HEADERS, policy)
    # For the demo page, which counts down a handle's lifetime by our clock.
    exposed = f"{EXPOSE_HEADERS}, {REPLICA_HEADER}, {hdrs.DATE}"
    return AnswerHeaders({**BASE_HEADERS, REPLICA_HEADER: replica}, exposed, policy)


def new_request_id() -> str:
    """A fresh id: 96 random bits."""
    return "req_" + secrets.token_hex(12)


def request_id_of(given: str | None) -> str:
    """The caller's id of a request, where it is one; else a fresh one."""
    return given if given is not None and _INCOMING_ID.match(given) else new_request_id()


def json_answer(document: Mapping[str, Any]) -> web.Response:
    """200 with a JSON object."""
    return web.Response(body=orjson.dumps(document), content_type=_JSON)


def operators_answer(document: Mapping[str, Any]) -> web.Response:
    """The same for operators, who read it on a terminal: what does not show is escaped."""
    return web.Response(body=legible_json(orjson.dumps(document)), content_type=_JSON)


def error_response(error: CloakroomError) -> web.Response:
    """Render any error of ``app.errors``."""
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.answer_code}
    body = legible_json(orjson.dumps({"error": fields}))
    response = web.Response(body=body, status=error.answer_status, content_type=_JSON, headers=error.headers)
    if error.retry_after is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if error.answer_status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response


def from_http_exception(exception: web.HTTPException) -> CloakroomError:
    """The error of ours for one of aiohttp's, most of which come from its router."""
    if isinstance(exception, web.HTTPNotFound):
        return NotFound("There is nothing at this path. The API's paths begin with /v1/realtime/.")
    if isinstance(exception, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exception.allowed_methods))
        return MethodNotAllowed(f"This path takes {allowed} only.", headers={hdrs.ALLOW: allowed})
    if 400 <= exception.status < 500:
        return InvalidRequest("The request could not be read.")
    return internal_error()


def origin_refused(path: str) -> OriginNotAllowed:
    """The error for a page whose origin is not allowed."""
    if for_no_page(path):
        return OriginNotAllowed(
            "Web pages may not use this path. Call it from a server or a command line, which send no Origin."
        )
    return OriginNotAllowed(
        "Pages of this origin may not call this service. Its operator can add the origin to "
        "CLOAKROOM_CORS_ORIGINS."
    )


def host_refused() -> HostNotAllowed:
    """The error for a request to a name that is not the service's."""
    return HostNotAllowed(
        "This service is not called by this name. Its operator can add the name to CLOAKROOM_ALLOWED_HOSTS."
    )


def overloaded() -> Overloaded:
    """The error for a request that the process has no time or no room for."""
    return Overloaded("The service is overloaded. Try again shortly.", retry_after=1)


def internal_error() -> InternalError:
    """The error for a defect of ours. It shows no detail."""
    return InternalError(
        "Something went wrong in the service. Look up the x-request-id of this answer in its logs."
    )


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Answer ``Expect: 100-continue`` with a 100; refuse any other expectation (RFC 9110, 10.1.1)."""
    if request.version == (1, 1) and request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        # The 100 does not count as the answer, whose headers are still to come.
        request.writer.output_size = 0
        return None
    error = InvalidRequest("The only 'Expect' that this service supports is '100-continue'.")
    return unrouted(error, new_request_id())


def unrouted(error: CloakroomError, request_id: str) -> web.Response:
    """The answer to a request that the gate does not see."""
    response = error_response(error)
    response.headers.update(BASE_HEADERS)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.force_close()
    return response


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that is served unchanged: of the demo, of the reference. ``etag`` changes with any byte."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Self:
        return cls(body, content_type, hashlib.sha256(body).hexdigest()[:32])


def asset_answer(request: web.Request, asset: Asset) -> web.Response:
    """The asset, or 304 where the caller has it already."""
    asked = request.if_none_match or ()
    if any(tag.value in (asset.etag, "*") for tag in asked):
        response = web.Response(status=304)
    else:
        charset = None if asset.content_type == "application/json" else "utf-8"
        response = web.Response(body=asset.body, content_type=asset.content_type, charset=charset)
    response.etag = ETag(asset.etag)
    response.headers[hdrs.CACHE_CONTROL] = _REVALIDATE
    return response
