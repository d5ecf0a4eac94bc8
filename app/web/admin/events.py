"""The events of all replicas, live, as Server-Sent Events (HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Final

import orjson
from aiohttp import hdrs, web

from app.errors import Draining, InvalidRequest, RateLimited
from app.store.events import Event, Watch
from app.telemetry.redaction import legible, legible_json
from app.web.admin.guard import Act
from app.web.admin.query import read_query
from app.web.answers import BASE_HEADERS, REQUEST_ID_HEADER
from app.web.appkeys import DESK, LIFECYCLE, REQUEST_ID

MAX_WATCHERS: Final = 8
LONGEST_SECONDS: Final = 3600
KEEP_ALIVE_SECONDS: Final = 15.0
# A watcher that reads nothing for so long is treated as gone.
WRITE_SECONDS: Final = 20.0
# How often the stream looks whether the replica drains.
_LOOK_SECONDS: Final = 0.5
_SECONDS = re.compile(r"[1-9][0-9]{0,3}\Z")
_TYPE: Final = "text/event-stream"


async def watch(request: web.Request, act: Act) -> web.StreamResponse:
    """``GET /admin/v1/events``: until the watcher leaves, its time is up, or the replica drains."""
    seconds, desk = _seconds(request), request.app[DESK]
    if request.app[LIFECYCLE].draining:
        raise Draining("This replica is shutting down. Watch through another one.", retry_after=1)
    if desk.feed.watchers >= MAX_WATCHERS:
        raise RateLimited(
            f"This replica already serves {MAX_WATCHERS} watchers. End one, or ask another replica.",
            retry_after=30,
        )
    if request.method == hdrs.METH_HEAD:
        return _response(request)
    async with desk.feed.watch() as events:
        response = _response(request)
        act.begun(request)
        await response.prepare(request)
        act.outcome = await _stream(request, response, events, seconds=seconds, act=act)
    return response


def _response(request: web.Request) -> web.StreamResponse:
    # The gate sets headers once the view returns, which is too late for a stream.
    headers = {**BASE_HEADERS, REQUEST_ID_HEADER: request[REQUEST_ID], "X-Accel-Buffering": "no"}
    return web.StreamResponse(headers={**headers, hdrs.CONTENT_TYPE: _TYPE})


async def _stream(
    request: web.Request, response: web.StreamResponse, watch: Watch, *, seconds: float, act: Act
) -> str:
    """Write events until the stream ends, and return why."""
    lifecycle = request.app[LIFECYCLE]
    end, told, count = time.monotonic() + seconds, time.monotonic(), 0
    text = b": watching\n\n"
    try:
        while True:
            if text:
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(text)
                told = time.monotonic()
            act.fields["count"] = count
            if watch.ended or lifecycle.draining:
                return "drained"
            now = time.monotonic()
            if now >= end:
                return "time_up"
            events = await watch.next(seconds=min(_LOOK_SECONDS, end - now))
            count += len(events)
            quiet = time.monotonic() - told >= KEEP_ALIVE_SECONDS
            text = _lines(events) if events else b": keep-alive\n\n" if quiet else b""
    except (ConnectionError, TimeoutError):
        return "gone"


def _lines(events: Iterable[Event]) -> bytes:
    return b"".join(
        # Another name would begin a line of this format.
        b"event: %b\ndata: %b\n\n" % (legible(event.name).encode(), legible_json(orjson.dumps(event.fields)))
        for event in events
    )


def _seconds(request: web.Request) -> int:
    given = read_query(request.query.items(), ("seconds",)).get("seconds", str(LONGEST_SECONDS))
    if not _SECONDS.match(given) or int(given) > LONGEST_SECONDS:
        raise InvalidRequest(
            f"'seconds' must be a whole number from 1 to {LONGEST_SECONDS}.", param="seconds"
        )
    return int(given)
