"""aiohttp's HTTP protocol, as a connection uses it."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiohttp import web

from app.errors import InvalidRequest
from app.web.answers import internal_error, new_request_id, unrouted

log = structlog.get_logger("cloakroom.protocol")


class HttpProtocol(web.RequestHandler):
    """aiohttp's HTTP protocol with our answer to a request that cannot be parsed.

    aiohttp's own answer names its version, quotes the input, and leaves a traceback in the log.
    """

    # Whether admission control was asked about the request that arrived last.
    asked = False
    # Is called after each answer.
    answered: Callable[[], None]

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and say so."""
        sent = await super().finish_response(request, resp, start_time)
        self.answered()
        return sent

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with an error, and close the connection.

        Raises:
            ConnectionError: an answer had begun already.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun already")
        request_id = new_request_id()
        if status >= 500:
            log.error("request_failed", request_id=request_id, exc_info=exc)
            return unrouted(internal_error(), request_id)
        # Neither the answer nor the log repeats the input, which may hold anything.
        log.info("request_unreadable", request_id=request_id, reason=type(exc).__name__)
        error = InvalidRequest("This is not a valid HTTP request, or a header is too long.")
        return unrouted(error, request_id)
