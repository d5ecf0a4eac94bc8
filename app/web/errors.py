"""Where an error becomes an answer, always ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import orjson
from aiohttp import web

from app.errors import (
    CloakroomError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
)
from app.web.cors import for_no_page

_INTERNAL = (
    "Something went wrong in the service. The x-request-id of this answer finds the cause in its logs."
)


def error_response(error: CloakroomError) -> web.Response:
    """Render any error of ``app.errors``."""
    body = {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.answer_code,
        }
    }
    response = web.Response(
        body=orjson.dumps(body),
        status=error.answer_status,
        content_type="application/json",
        headers=error.headers,
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.answer_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def from_http_exception(exception: web.HTTPException) -> CloakroomError:
    """Give aiohttp's own refusals (routing, mostly) our shape."""
    if isinstance(exception, web.HTTPNotFound):
        return NotFound("There is nothing at this path. The paths begin with /v1/realtime/.")
    if isinstance(exception, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exception.allowed_methods))
        return MethodNotAllowed(f"This path takes {allowed} only.", headers={"Allow": allowed})
    if 400 <= exception.status < 500:
        return InvalidRequest("The request could not be read.")
    return internal_error()


def origin_refused(path: str) -> OriginNotAllowed:
    """The answer to a page that may not call, with what its operator can do about it."""
    if for_no_page(path):
        return OriginNotAllowed("This path is for no page. Command lines and scrapers send no Origin.")
    return OriginNotAllowed(
        "Pages of this origin may not call this service. Its operator can add the origin to "
        "CLOAKROOM_CORS_ORIGINS."
    )


def internal_error() -> InternalError:
    """The answer to a defect of ours; it tells nothing of the inside."""
    return InternalError(_INTERNAL)
