"""The one middleware, around everything, unrouted paths too.

It is one function and not a stack of five because each layer of aiohttp's costs every request a coroutine.
The order, from outside in, and why:

1. request id: everything after it can be found in the logs;
2. CORS: a refused origin costs nothing further, and every answer below, errors included, gets the headers;
3. load: beyond ``max_in_flight`` an honest 503 now beats a timeout later;
4. the view;
5. errors become answers, never after a response has begun;
6. headers, metrics and the log line, which want the final status.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from app.errors import CloakroomError, Overloaded
from app.store.events import EventFeed
from app.telemetry.logs import RequestLog
from app.telemetry.metrics import Metrics, code_of
from app.telemetry.redaction import redact
from app.telemetry.timings import Timings
from app.telemetry.tracing import TRACEPARENT, TRACESTATE, Ending, RequestTrace, Tracing, read_trace_context
from app.web.appkeys import LIFECYCLE, LOG_LINE, REQUEST_ID, TIMINGS, Lifecycle, LogLine
from app.web.cors import ALLOW_METHODS, EXPOSE_HEADERS, MAX_AGE_SECONDS, CorsPolicy, allow_headers
from app.web.errors import error_response, from_http_exception, internal_error, origin_refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("cloakroom.request")

REQUEST_ID_HEADER: Final = "x-request-id"
REPLICA_HEADER: Final = "x-cloakroom-replica"
_INCOMING_ID = re.compile(r"[A-Za-z0-9._-]{8,128}\Z")
# Of a log line's fields, those whose text comes from the caller.
_GIVEN: Final = ("model", "call_id")
BASE_HEADERS: Final = {
    "Server": "cloakroom",
    "Vary": "Origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def gate(
    policy: CorsPolicy,
    *,
    request_log: RequestLog,
    metrics: Metrics,
    tracing: Tracing,
    feed: EventFeed,
    max_in_flight: int,
    replica: str | None = None,
) -> Middleware:
    """Build the middleware. ``max_in_flight`` counts requests of this process.

    ``replica`` is named in every answer, for the demo page; None names nobody.
    """
    base_headers, exposed = BASE_HEADERS, EXPOSE_HEADERS
    if replica is not None:
        base_headers = {**BASE_HEADERS, REPLICA_HEADER: replica}
        # The date: the page counts a handle's life down by our clock, not by its own.
        exposed = f"{EXPOSE_HEADERS}, {REPLICA_HEADER}, {hdrs.DATE}"

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request[REQUEST_ID] = _request_id(request)
        trace = _begin(tracing, request)
        timings = request[TIMINGS] = Timings(trace=trace)
        lifecycle = request.app[LIFECYCLE]
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = (
            policy.allowed_origin(origin, host=request.host, path=request.path)
            if origin is not None
            else None
        )
        error: CloakroomError | None = None
        lifecycle.in_flight += 1
        try:
            if origin is not None and allowed is None:
                raise origin_refused(request.path)
            if origin is not None and _is_preflight(request):
                response: web.StreamResponse = web.Response(status=204)
            elif lifecycle.in_flight > max_in_flight:
                raise Overloaded("The service has too much to do just now. Try again shortly.", retry_after=1)
            else:
                response = await handler(request)
        except CloakroomError as caught:
            error = caught
        except web.HTTPException as caught:
            error = from_http_exception(caught)
        except Exception:
            # The traceback goes to the log, redacted there; the answer tells nothing.
            log.exception("request_failed", request_id=request[REQUEST_ID])
            error = internal_error()
        finally:
            lifecycle.in_flight -= 1
        if error is not None:
            response = error_response(error)
        _finish(
            request,
            response,
            base_headers=base_headers,
            exposed=exposed,
            origin=origin,
            allowed=allowed,
            lifecycle=lifecycle,
        )
        line, status = _line(request, error), response.status
        seconds = time.perf_counter() - started
        if line is None:
            metrics.answered(_handler(request), status, error, timings, seconds=seconds)
        else:
            metrics.answered(line.event, status, error, timings, seconds=seconds, fields=line.fields)
            if trace is not None:
                trace.end(_ending(request, line, status, error, metrics.labels(timings)), timings)
            _tell(request_log, feed, line.event, _fields(request, line, status, error, seconds))
        return response

    return middleware


def _begin(tracing: Tracing, request: web.Request) -> RequestTrace | None:
    # Whatever is traced is a POST.
    if request.method != hdrs.METH_POST:
        return None
    headers = request.headers
    if TRACEPARENT not in headers:
        return tracing.begin(None)
    return tracing.begin(read_trace_context(headers.getall(TRACEPARENT), headers.getall(TRACESTATE, ())))


def _ending(
    request: web.Request, line: LogLine, status: int, error: CloakroomError | None, labels: tuple[str, str]
) -> Ending:
    resource = request.match_info.route.resource
    return Ending(
        operation=line.event,
        route=resource.canonical if resource is not None else "",
        status=status,
        code=code_of(error) if error is not None else None,
        model=labels[0],
        deployment=labels[1],
        fields=line.fields,
    )


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID_HEADER)
    if given is not None and _INCOMING_ID.match(given):
        return given
    return new_request_id()


def new_request_id() -> str:
    """A fresh id: 96 random bits."""
    return "req_" + secrets.token_hex(12)


def _is_preflight(request: web.Request) -> bool:
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def _handler(request: web.Request) -> str:
    """What answered a request that is no mint, relay or hang-up, as the metrics have it."""
    if request.match_info.http_exception is not None:
        return "unmatched"
    return "preflight" if request.method == hdrs.METH_OPTIONS else "other"


def _finish(
    request: web.Request,
    response: web.StreamResponse,
    *,
    base_headers: Mapping[str, str],
    exposed: str,
    origin: str | None,
    allowed: str | None,
    lifecycle: Lifecycle,
) -> None:
    """Set the headers that every answer has."""
    if response.prepared:
        return
    headers = response.headers
    for name, value in base_headers.items():
        headers.setdefault(name, value)
    headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if origin is not None and allowed is not None:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = exposed
        if _is_preflight(request):
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOW_METHODS
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = allow_headers(asked)
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE_SECONDS
    # A body that was refused halfway is not worth waiting for, nor is a kept connection while draining.
    if lifecycle.draining or (request.can_read_body and not request.content.is_eof()):
        response.force_close()


def _line(request: web.Request, error: CloakroomError | None) -> LogLine | None:
    """What the view wants told. A name that nobody knows may be a secret in the wrong place."""
    line = request.get(LOG_LINE)
    if line is not None and error is not None:
        fields, timings = line.fields, line.timings
        fields |= {name: redact(str(fields[name])) for name in _GIVEN if fields.get(name) is not None}
        timings.model = redact(timings.model) if timings.model is not None else None
    return line


def _tell(request_log: RequestLog, feed: EventFeed, event: str, told: dict[str, Any]) -> None:
    """Write the request's log line, and let those see it who watch."""
    request_log.write("info" if told["status"] < 500 else "error", event, told)
    if feed.wanted:
        feed.offer(event, told)


def _fields(
    request: web.Request, line: LogLine, status: int, error: CloakroomError | None, seconds: float
) -> dict[str, Any]:
    """What the log line of a request tells; times in milliseconds."""
    timings = line.timings
    found: dict[str, Any] = {}
    if timings.trace is not None:
        found["trace_id"] = timings.trace.trace_id
    if error is not None and timings.deployment is not None:
        # The view tells both after a success; of a failure this is where it happened.
        found |= {"model": timings.model, "deployment": timings.deployment}
    if len(timings.tries) > 1:
        found["tries"] = len(timings.tries)
    return {
        "request_id": request[REQUEST_ID],
        **found,
        "status": status,
        "code": error.answer_code if error is not None else None,
        "total_ms": round(seconds * 1000, 2),
        "provider_ms": round(line.timings.provider * 1000, 2),
        "store_ms": round(line.timings.store * 1000, 2),
        **line.fields,
    }
