"""What aiohttp answers by itself, before the application sees a request, in our shape.

A request line that is none, a header that is too long, an ``Expect`` that nobody knows: aiohttp would answer
with plain text that names its version and quotes the input, and log a traceback for each.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from app.errors import InvalidRequest
from app.web.errors import error_response, internal_error
from app.web.gate import BASE_HEADERS, REQUEST_ID_HEADER, new_request_id

log = structlog.get_logger("cloakroom.protocol")

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Protocol(web.RequestHandler):
    """aiohttp's HTTP protocol with our own answer to what cannot be read."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that never became one, and close the connection.

        Raises:
            ConnectionError: an answer had begun already.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun already")
        request_id = new_request_id()
        if status < 500:
            # The input is a stranger's, so neither the answer nor the log repeats it.
            log.info("request_unreadable", request_id=request_id, reason=type(exc).__name__)
            error: Any = InvalidRequest("This is no HTTP request that can be read, or a header is too long.")
        else:
            log.error("request_failed", request_id=request_id, exc_info=exc)
            error = internal_error()
        response = error_response(error)
        response.headers.update(BASE_HEADERS)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.force_close()
        return response


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Ask for the body where the client waits for that; refuse another expectation (RFC 9110, 10.1.1)."""
    if request.version == (1, 1) and request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        # The 100 is no part of the answer, whose headers are still to come.
        request.writer.output_size = 0
        return None
    response = error_response(InvalidRequest("The only 'Expect' that this service meets is '100-continue'."))
    response.headers.update(BASE_HEADERS)
    response.headers[REQUEST_ID_HEADER] = new_request_id()
    response.force_close()
    return response
