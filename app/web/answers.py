"""How an answer looks: the headers of all answers, JSON, and errors.

An error is always ``{"error": {"message", "type", "param", "code"}}``, wherever it was found: in a use case,
in aiohttp's router, or before there was a request that could be read.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import orjson
from aiohttp import hdrs, web

from app.errors import (
    CloakroomError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    Overloaded,
)
from app.web.cors import EXPOSE_HEADERS, CorsPolicy, for_no_page

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
# A request line that needs no decoding, and heads that aiohttp must judge.
_PLAIN_LINE: Final = re.compile(rb"POST (/[A-Za-z0-9/._-]*)(?:\?[!-~]*)? HTTP/1\.1\r\n")
_UNUSUAL: Final = (b"\n ", b"\n\t", b"\nexpect", b"\nupgrade")
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


def error_response(error: CloakroomError) -> web.Response:
    """Render any error of ``app.errors``."""
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.answer_code}
    body = orjson.dumps({"error": fields})
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


def overloaded() -> Overloaded:
    """The error for a request that the process has no time or no room for."""
    return Overloaded("The service is overloaded. Try again shortly.", retry_after=1)


def internal_error() -> InternalError:
    """The error for a defect of ours. It shows no detail."""
    return InternalError(
        "Something went wrong in the service. Look up the x-request-id of this answer in its logs."
    )


class Refusal:
    """The answer to a request for which there is no time, as bytes, made without parsing the request.

    Args:
        error: what the answer says.
        refused: is called for each answer.
    """

    def __init__(self, error: CloakroomError, headers: AnswerHeaders, refused: Callable[[], None]) -> None:
        response = error_response(error)
        response.headers.update(headers.every)
        body = cast(bytes, response.body)
        lines = [f"HTTP/1.1 {error.answer_status} {HTTPStatus(error.answer_status).phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"{hdrs.CONTENT_LENGTH}: {len(body)}", f"{REQUEST_ID_HEADER}: "]
        self._head = "\r\n".join(lines).encode()
        self._end = b"\r\n\r\n" + body
        self._exposed = headers.exposed
        self._policy = headers.policy
        self._refused = refused

    def answer(self, request: bytes) -> tuple[bytes, bool] | None:
        """Return the answer to a request whose whole head is there; None where the head is unusual.

        Also returns whether the connection closes after it.
        """
        end = request.index(b"\r\n\r\n") + 2
        head = request[:end]
        lowered = head.lower()
        line = _PLAIN_LINE.match(head)
        lines = head.count(b"\r\n")
        if line is None or head.count(b"\n") != lines or head.count(b"\r") != lines:
            return None
        if any(unusual in lowered for unusual in _UNUSUAL):
            return None
        origin = _header(head, lowered, b"\norigin:")
        closes = b"\nconnection: close" in lowered
        more = f"\r\n{hdrs.CONNECTION}: close" if closes else ""
        if origin is not None:
            host, path = _header(head, lowered, b"\nhost:") or "", line[1].decode()
            allowed = self._policy.allowed_origin(origin, host=host, path=path)
            if allowed is None:
                return None
            more += (
                f"\r\n{hdrs.ACCESS_CONTROL_ALLOW_ORIGIN}: {allowed}"
                f"\r\n{hdrs.ACCESS_CONTROL_EXPOSE_HEADERS}: {self._exposed}"
            )
        self._refused()
        request_id = request_id_of(_header(head, lowered, b"\nx-request-id:"))
        return self._head + (request_id + more).encode() + self._end, closes


def _header(head: bytes, lowered: bytes, name: bytes) -> str | None:
    """The first header of this name; ``name`` has the line feed before it and the colon."""
    at = lowered.find(name)
    if at < 0:
        return None
    start = at + len(name)
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")


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
