"""The views of calls: relay an offer, attach a sideband, take a page's report of its call, and hang up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import orjson
from aiohttp import hdrs, web

from app.broker.calls.hangup import NOT_FOUND_MESSAGE, Caller
from app.broker.calls.ice import IceServers
from app.broker.calls.reports import NOT_YOURS_MESSAGE
from app.broker.deadlines.orphans import Orphans
from app.broker.relay import Relayed
from app.errors import CallNotFound, InvalidApiKey, InvalidRequest, MethodNotImplemented
from app.models import CALLS_PATH, LIVE_PATH, Client, Family, Offer, Sender
from app.outbound.sideband import CLOSE_SECONDS, HEARTBEAT_SECONDS, EventSocket
from app.providers.base import is_call_id
from app.providers.ice import as_links
from app.web.addresses import caller_address
from app.web.answers import BASE_HEADERS, REQUEST_ID_HEADER
from app.web.appkeys import (
    CLIENTS,
    HANDLES,
    HANGUP,
    ICE_SERVERS,
    LIFECYCLE,
    LOG_LINE,
    OPEN_SIDEBANDS,
    ORPHANS,
    RELAY,
    REPORTS,
    REQUEST_ID,
    SETTINGS,
    SIDEBANDS,
    TIMINGS,
    LogLine,
)
from app.web.calls.offers import LIVE_TRANSPORT, SDP_TYPE, parse_live_offer, parse_offer
from app.web.calls.reports import MAX_REPORT_BYTES, parse_report
from app.web.calls.sideband import Backend
from app.web.cors import MAX_CALL_SECONDS_HEADER
from app.web.incoming import JSON_TYPE, credential, parse_json_object, read_timed_body

# Offers of the beta's pages go to the same path.
SIDEBAND_PATH: Final = "/realtime"
# OpenAI's clients for browsers name it.
SUBPROTOCOL: Final = "realtime"
_WHO = (
    "Hanging up needs a client key of this service, or the handle that made the call: send "
    "'Authorization: Bearer <key or handle>'."
)


class _OfferAnswer(web.Response):
    """The answer to an offer, in SDP or as the JSON of a Live session.

    It tells the broker whether it was written to an open connection.
    A browser that leaves does not end its request: the offer may have made a call, and that is settled first.
    """

    def __init__(
        self, relayed: Relayed, handle_id: str, orphans: Orphans, path: Family | None, ice: IceServers
    ) -> None:
        call_id, body, form = relayed.answer.call_id, relayed.answer.sdp, SDP_TYPE
        place = LIVE_PATH if path is Family.LIVE else CALLS_PATH
        headers: dict[str, str] = {hdrs.LOCATION: f"{place}/{call_id}"} if call_id else {}
        if path is Family.LIVE:
            transport = {"type": LIVE_TRANSPORT, "sdp": body.decode()}
            body, form = orjson.dumps({"session": {"id": call_id}, "transport": transport}), JSON_TYPE
        if relayed.max_call_seconds is not None:
            headers[MAX_CALL_SECONDS_HEADER] = str(relayed.max_call_seconds)
        super().__init__(body=body, status=201, content_type=form, headers=headers)
        for server in ice.beside_answer(
            relayed.answer, handle_id, client=relayed.client, subject=relayed.subject
        ):
            for link in as_links(server):
                self.headers.add(hdrs.LINK, link)
        self._relayed = relayed
        self._handle_id = handle_id
        self._orphans = orphans

    async def write_eof(self, data: bytes = b"") -> None:
        """Send all of it: aiohttp keeps the head of a short answer until then.

        Raises:
            ConnectionError: the browser is gone.
        """
        relayed, call_id = self._relayed, self._relayed.answer.call_id
        try:
            await super().write_eof(data)
        except BaseException:
            # Of an answer that was fetched again, the first relay knows whether it was delivered.
            if not relayed.replayed:
                self._orphans.undelivered(self._handle_id, call_id)
            raise
        if relayed.replayed:
            self._orphans.fetched(self._handle_id, call_id)


async def relay(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls``: the answer to an offer. The ``?model=`` of old clients is ignored."""
    return await _relayed(request, parse_offer)


async def relay_translation(request: web.Request) -> web.Response:
    """``POST /v1/realtime/translations/calls``: the same, for handles of translation sessions."""
    return await _relayed(request, partial(parse_offer, path=Family.TRANSLATION))


async def relay_live(request: web.Request) -> web.Response:
    """``POST /v1/live/sessions``: the same for handles of Live sessions, in GPT-Live's own form."""
    return await _relayed(request, parse_live_offer)


async def _relayed(request: web.Request, parse: Callable[[str, bytes], Offer]) -> web.Response:
    app, line = request.app, LogLine("relay", request[TIMINGS])
    request[LOG_LINE] = line
    handle = app[HANDLES].verify(credential(request) or "")
    line.fields["handle"] = handle.id
    body = await read_timed_body(request)
    offer = parse(request.headers.get(hdrs.CONTENT_TYPE, ""), body)
    sender = Sender(request.headers.get(hdrs.ORIGIN, "").lower(), partial(_sender_facts, request))
    relayed = await app[RELAY].relay(handle, offer, sender, line.timings)
    line.fields |= {
        "client": relayed.client,
        "model": relayed.model,
        "deployment": relayed.deployment,
        "call_id": relayed.answer.call_id,
        "replayed": relayed.replayed,
    }
    if relayed.region is not None:
        line.fields["region"] = relayed.region
    return _OfferAnswer(relayed, handle.id, app[ORPHANS], offer.path, app[ICE_SERVERS])


def _sender_facts(request: web.Request) -> dict[str, str]:
    return {"address": caller_address(request), "user_agent": request.headers.get(hdrs.USER_AGENT, "")}


async def attach(request: web.Request) -> web.StreamResponse:
    """``WSS /v1/realtime?call_id=``: the call's events, for the client's backend. Audio does not pass.

    Also ``WSS /v1/live/sessions/{call_id}/attach``. Its ``?graceful_close=`` changes nothing.
    """
    app, line = request.app, LogLine("sideband", request[TIMINGS])
    request[LOG_LINE] = line
    door = app[OPEN_SIDEBANDS]
    with door.counting_refusals():
        client = app[CLIENTS].authenticate(credential(request))
        line.fields["client"] = client.name
        socket = _upgradable(request)
        call_id = line.fields["call_id"] = _known_form(
            request.match_info.get("call_id") or request.query.get("call_id")
        )
        with door.place():
            call = await app[SIDEBANDS].find(call_id, client, line.timings)
            line.fields |= {"handle": call.handle, "model": call.model, "deployment": call.deployment}
            try:
                provider = await app[SIDEBANDS].attach(call, line.timings)
            finally:
                door.metrics.tried(line.timings)
            # It is no request in flight while it is open.
            app[LIFECYCLE].in_flight -= 1
            try:
                traffic = await door.carry(app[SIDEBANDS], call, provider, _backend(request, socket))
                line.fields |= traffic.fields()
            finally:
                app[LIFECYCLE].in_flight += 1
    return socket


def _upgradable(request: web.Request) -> web.WebSocketResponse:
    """The answer that opens a WebSocket.

    Raises:
        InvalidRequest: the request asks for none.
    """
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        protocols=(SUBPROTOCOL,),
        # It would cost each sideband a third of a megabyte.
        compress=False,
        max_msg_size=request.app[SETTINGS].sideband_max_event_bytes,
    )
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL)
    if offered is not None and SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
        # aiohttp would log what is offered, where clients made for browsers put a key.
        raise InvalidRequest(f"The only subprotocol of a sideband is '{SUBPROTOCOL}'.")
    if request.method != hdrs.METH_GET or not socket.can_prepare(request).ok:
        raise InvalidRequest(
            "GET of this path opens a sideband, which is a WebSocket: connect to wss://, with ?call_id=."
        )
    # The gate sets headers once the view returns.
    socket.headers.update({**BASE_HEADERS, REQUEST_ID_HEADER: request[REQUEST_ID]})
    return socket


def _backend(request: web.Request, socket: web.WebSocketResponse) -> Backend:
    def abort() -> None:
        if request.transport is not None:
            request.transport.abort()

    return Backend(EventSocket(socket, abort), partial(socket.prepare, request))


async def offer_options(request: web.Request) -> web.Response:
    """``OPTIONS`` where offers go: what may be posted, as RFC 9725 asks. The gate answers preflights."""
    allow = "GET, HEAD, OPTIONS, POST" if request.path.endswith(SIDEBAND_PATH) else "OPTIONS, POST"
    form = JSON_TYPE if request.path.endswith(LIVE_PATH.removeprefix("/v1")) else SDP_TYPE
    return web.Response(status=200, headers={hdrs.ALLOW: allow, "Accept-Post": form})


async def patch_call(request: web.Request) -> web.Response:
    """``PATCH`` of a call: its candidates are all in the offer and the answer, so there is nothing to patch.

    Raises:
        MethodNotImplemented: always, as RFC 9725 asks of a session without trickle ICE.
    """
    raise MethodNotImplemented(
        "There is no trickle ICE and no ICE restart: put all candidates into the offer."
    )


async def report(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls/{call_id}/report``: what became of the call, as its page saw it; 204.

    The handle may have expired, since a call connects after its relay.
    """
    line = request[LOG_LINE] = LogLine("report", request[TIMINGS])
    handle = request.app[HANDLES].verify(credential(request) or "", allow_expired=True)
    line.fields["handle"] = handle.id
    call_id = line.fields["call_id"] = _known_form(request.match_info["call_id"], NOT_YOURS_MESSAGE)
    body = await read_timed_body(request, max_bytes=MAX_REPORT_BYTES)
    told = parse_report(parse_json_object(request, body))
    line.fields |= {"outcome": told.outcome, "after_ms": told.after_ms}
    taken = await request.app[REPORTS].take(call_id, handle, told, line.timings)
    line.fields |= {"client": taken.client, "model": taken.model, "deployment": taken.deployment}
    return web.Response(status=204)


async def hang_up(request: web.Request) -> web.Response:
    """``POST /v1/realtime/calls/{call_id}/hangup``, and ``DELETE`` of the call: 200 without a body.

    The request's body is ignored.
    """
    line = request[LOG_LINE] = LogLine("hangup", request[TIMINGS])
    caller = _caller(request)
    line.fields |= {"client": caller.name} if isinstance(caller, Client) else {"handle": caller.id}
    call_id = line.fields["call_id"] = _known_form(request.match_info["call_id"])
    hangup = request.app[HANGUP]
    call = await hangup.find(call_id, caller, line.timings)
    line.fields |= {
        "client": call.client,
        "handle": call.handle,
        "model": call.model,
        "deployment": call.deployment,
    }
    line.fields["outcome"] = await hangup.hang_up(call, line.timings)
    return web.Response(status=200)


def _caller(request: web.Request) -> Caller:
    """The client of a known key, or the verified handle, which has a JWT's dots.

    The handle may have expired, since a call outlives it.

    Raises:
        InvalidApiKey, InvalidHandle, HandleExpired
    """
    unverified = credential(request) or ""
    client = request.app[CLIENTS].find(unverified)
    if client is not None:
        return client
    if "." not in unverified:
        raise InvalidApiKey(_WHO)
    return request.app[HANDLES].verify(unverified, allow_expired=True)


def _known_form(call_id: str | None, unknown: str = NOT_FOUND_MESSAGE) -> str:
    """A call's id as it was given. What cannot be one gets the answer of an unknown call."""
    if call_id is None or not is_call_id(call_id):
        raise CallNotFound(unknown, param="call_id")
    return call_id
