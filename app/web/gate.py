"""The one middleware, around every request, also where no route matches.

It is one function and not a stack of five, because each of aiohttp's layers costs every request a coroutine.
The order, from outside in:

1. request id, so that all of the rest can be found in the logs;
2. the name in ``Host``, where the service's names are listed: a page under any other name gets nothing;
3. CORS: a refused origin costs nothing further, and every answer, errors included, gets the headers;
4. load: beyond ``max_in_flight`` a 503 now is better than a timeout later, unless it is within a fair share.
   Of a mint its view decides, which knows the client. Where the process has no time,
   ``app.web.listener.early`` has refused most requests before they came here;
5. the view;
6. errors become answers, unless a response has begun; refused credentials are counted by address;
7. headers, metrics, trace and log line, which need the final status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from app.errors import CloakroomError
from app.store.events import EventFeed
from app.telemetry.logs import RequestLog
from app.telemetry.metrics import Metrics, code_of
from app.telemetry.redaction import redact
from app.telemetry.timings import Timings
from app.telemetry.tracing import TRACEPARENT, TRACESTATE, Ending, RequestTrace, Tracing, read_trace_context
from app.web.addresses import caller_address, counted_as
from app.web.answers import (
    REQUEST_ID_HEADER,
    AnswerHeaders,
    error_response,
    from_http_exception,
    host_refused,
    internal_error,
    origin_refused,
    overloaded,
    request_id_of,
)
from app.web.appkeys import LOG_LINE, REQUEST_ID, TIMINGS, Lifecycle, LogLine
from app.web.cors import ALLOW_METHODS, MAX_AGE_SECONDS, HostPolicy, allow_headers
from app.web.listener.admission import Admission
from app.web.listener.credentials import RefusedCredentials
from app.web.listener.early import EarlyRefusals
from app.web.listener.shares import Shares
from app.web.mint_views import MINT_VIEWS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("cloakroom.request")

# What operators do is never refused for want of time.
ADMIN_PATHS: Final = "/admin/"
# The fields of a log line whose text comes from the caller.
_GIVEN: Final = ("model", "call_id")


@dataclass(frozen=True, slots=True)
class Reporting:
    """Where each request is reported: metrics, traces, the log, and the operators who watch live."""

    request_log: RequestLog
    metrics: Metrics
    tracing: Tracing
    feed: EventFeed

    def begin(self, request: web.Request) -> RequestTrace | None:
        """Begin the request's trace, if it gets one."""
        # Only POSTs are traced.
        if request.method != hdrs.METH_POST:
            return None
        headers = request.headers
        if TRACEPARENT not in headers:
            return self.tracing.begin(None)
        given = read_trace_context(headers.getall(TRACEPARENT), headers.getall(TRACESTATE, ()))
        return self.tracing.begin(given)

    def end(
        self,
        request: web.Request,
        trace: RequestTrace | None,
        status: int,
        error: CloakroomError | None,
        *,
        seconds: float,
    ) -> None:
        """Report the answer, and end the trace."""
        timings = request[TIMINGS]
        line = request.get(LOG_LINE)
        if line is None:
            self.metrics.answered(_handler(request), status, error, timings, seconds=seconds)
            return
        if error is not None:
            _redact(line)
        self.metrics.answered(line.event, status, error, timings, seconds=seconds, fields=line.fields)
        if trace is not None:
            trace.end(self._ending(request, line, status, error), timings)
        fields = _log_fields(request, line, status, error, seconds)
        self.request_log.write("info" if status < 500 else "error", line.event, fields)
        if self.feed.wanted:
            self.feed.offer(line.event, fields)

    def _ending(
        self, request: web.Request, line: LogLine, status: int, error: CloakroomError | None
    ) -> Ending:
        resource = request.match_info.route.resource
        model, deployment = self.metrics.labels(line.timings)
        return Ending(
            operation=line.event,
            route=resource.canonical if resource is not None else "",
            status=status,
            code=code_of(error) if error is not None else None,
            model=model,
            deployment=deployment,
            fields=line.fields,
        )


def gate(
    answers: AnswerHeaders,
    reporting: Reporting,
    lifecycle: Lifecycle,
    early: EarlyRefusals,
    *,
    hosts: HostPolicy | None = None,
) -> Middleware:
    """Build the middleware; without ``hosts`` any name will do."""
    admission, shares, credentials = early.admission, early.shares, early.credentials
    most = shares.most

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request[REQUEST_ID] = request_id_of(request.headers.get(REQUEST_ID_HEADER))
        trace = reporting.begin(request)
        request[TIMINGS] = Timings(trace=trace)
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = None
        if origin is not None:
            allowed = answers.policy.allowed_origin(origin, host=request.host, path=request.path)
        error: CloakroomError | None = None
        lifecycle.in_flight += 1
        try:
            if hosts is not None and not hosts.allows(request.host, request.path):
                raise host_refused()
            if origin is not None and allowed is None:
                raise origin_refused(request.path)
            if origin is not None and _is_preflight(request):
                response: web.StreamResponse = web.Response(status=204)
            else:
                if (lifecycle.in_flight > most and _is_one_too_many(request, shares)) or (
                    admission.shedding and _has_no_time(request, admission)
                ):
                    raise overloaded()
                response = await handler(request)
        except Exception as caught:
            error = _counted(_error_of(caught, request), request, credentials)
        finally:
            lifecycle.in_flight -= 1
        if error is not None:
            response = error_response(error)
        if not response.prepared:
            _finish(request, response, answers, allowed)
            # While draining, and where the rest of a refused body would have to be read first.
            if lifecycle.draining or not request.content.is_eof():
                response.force_close()
        reporting.end(request, trace, response.status, error, seconds=time.perf_counter() - started)
        if error is not None:
            # It holds this frame, and frames that hold the error: cycles, which would keep the whole request.
            error.with_traceback(None)
        return response

    return middleware


def _is_one_too_many(request: web.Request, shares: Shares) -> bool:
    """Whether a full replica refuses a request here; of a mint its view decides."""
    return request.match_info.handler not in MINT_VIEWS and shares.refuses_other()


def _has_no_time(request: web.Request, admission: Admission) -> bool:
    """Whether a request that came in a form that its connection did not ask about is not admitted."""
    if request.method != hdrs.METH_POST or request.path.startswith(ADMIN_PATHS):
        return False
    return not getattr(request.protocol, "asked", True) and not admission.admits(asyncio.get_running_loop())


def _error_of(caught: Exception, request: web.Request) -> CloakroomError:
    """The error to answer with."""
    if isinstance(caught, CloakroomError):
        return caught
    if isinstance(caught, web.HTTPException):
        # The request holds this one, and its traceback the request.
        return from_http_exception(caught.with_traceback(None))
    # The traceback goes to the log, redacted; the answer shows none of it.
    log.error("request_failed", request_id=request[REQUEST_ID], exc_info=caught)
    return internal_error()


def _counted(error: CloakroomError, request: web.Request, credentials: RefusedCredentials) -> CloakroomError:
    """The error itself, or what is answered in its place where the address sent too many bad credentials.

    That counts as no mint or offer and has no line, as what is refused before it is parsed.
    """
    judged = credentials.judged(error, lambda: counted_as(caller_address(request)))
    if judged is not error:
        error.with_traceback(None)
        if LOG_LINE in request:
            del request[LOG_LINE]
    return judged


def _is_preflight(request: web.Request) -> bool:
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def _finish(
    request: web.Request,
    response: web.StreamResponse,
    answers: AnswerHeaders,
    origin: str | None,
) -> None:
    """Set the headers that every answer has.

    Pages of ``origin`` may read the answer; None is for all other requests.
    """
    headers = response.headers
    for name, value in answers.every.items():
        headers.setdefault(name, value)
    headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if origin is not None:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = answers.exposed
        if _is_preflight(request):
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOW_METHODS
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = allow_headers(asked)
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE_SECONDS


def _handler(request: web.Request) -> str:
    """The metrics' label for a request that is not a mint, relay or hang-up."""
    if request.match_info.http_exception is not None:
        return "unmatched"
    return "preflight" if request.method == hdrs.METH_OPTIONS else "other"


def _redact(line: LogLine) -> None:
    """Redact what the caller named: an unknown name may be a secret in the wrong place."""
    fields, timings = line.fields, line.timings
    fields |= {name: redact(str(fields[name])) for name in _GIVEN if fields.get(name) is not None}
    timings.model = redact(timings.model) if timings.model is not None else None


def _log_fields(
    request: web.Request, line: LogLine, status: int, error: CloakroomError | None, seconds: float
) -> dict[str, Any]:
    """The fields of a request's log line; times in milliseconds."""
    timings = line.timings
    found: dict[str, Any] = {}
    if timings.trace is not None:
        found["trace_id"] = timings.trace.trace_id
    if error is not None and timings.deployment is not None:
        # After a success the view sets both; after a failure they say where it happened.
        found |= {"model": timings.model, "deployment": timings.deployment}
    if len(timings.tries) > 1:
        found["tries"] = len(timings.tries)
    return {
        "request_id": request[REQUEST_ID],
        **found,
        "status": status,
        "code": error.answer_code if error is not None else None,
        "total_ms": round(seconds * 1000, 2),
        "provider_ms": round(timings.provider * 1000, 2),
        "store_ms": round(timings.store * 1000, 2),
        **line.fields,
    }
