"""Azure Voice Live: `WSS /voice-live/realtime/calls`, where one message brings the offer and one the answer.

Source: Microsoft's guide "Voice Live API with WebRTC" of April 2026 and the types of its SDKs. Not verified
at the real service, and so a guess here: the status and words of a handshake that is refused, which messages
come before the answer, how strict it is about the fields of a session, and that the call ends with this
socket, as programs take for granted that hang up by closing it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from aiohttp import WSMsgType, web

from .. import refusals
from ..calls import Call, CallTerms
from ..conversation.sessions import session_defaults
from ..faults import Fault
from ..keys import digest
from ..peer.offers import read_offer
from ..provider import FAULT, PROVIDER, Provider
from ..refusals import Refusal
from .azure import resource_key
from .requests import bearer, media_fault
from .sideband import CLOSE_SECONDS, LARGEST_EVENT, SandboxSideband

API_VERSIONS = ("2026-01-01-preview",)
CHANNEL = "voice-live-events"
# Models, not deployments: the service runs them itself.
_MODELS = ("gpt-", "phi4-", "azure-realtime")
# The session of the guide "How to use Voice Live": flat, unlike OpenAI's of today.
_SESSION_FIELDS = frozenset(
    {
        *("modalities", "voice", "instructions", "tools", "tool_choice", "temperature", "turn_detection"),
        *("input_audio_format", "input_audio_sampling_rate", "input_audio_transcription"),
        *("input_audio_noise_reduction", "input_audio_echo_cancellation", "output_audio_format"),
        *("output_audio_timestamp_types", "max_response_output_tokens", "reasoning_effort", "metadata"),
        *("animation", "interim_response"),
    }
)
# Everything else of a call goes over its data channel.
_CONTROL_EVENTS = frozenset(
    {
        *("session.created", "session.updated", "error", "response.function_call_arguments.delta"),
        "response.function_call_arguments.done",
    }
)


async def calls(request: web.Request) -> web.StreamResponse:
    """The handshake, then `rtc.call.sdp.create`, then `rtc.call.sdp.created` or `rtc.call.error`."""
    provider = request.app[PROVIDER]
    if request.query.get("api-version") not in API_VERSIONS:
        raise refusals.resource_not_found()
    resource_key(request, provider)
    model = request.query.get("model", "")
    if not model.startswith(_MODELS):
        raise refusals.missing_parameter("model") if not model else refusals.model_not_found(model)
    socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_EVENT, timeout=CLOSE_SECONDS)
    if not socket.can_prepare(request).ok:
        raise refusals.no_websocket()
    await socket.prepare(request)
    fault = request.get(FAULT)
    if fault is not None and fault.kind == "truncate":
        _cut(request)
        return socket
    await _send(socket, "session.created", session={"id": f"sess_{secrets.token_hex(8)}", "model": model})
    await _negotiate(request, socket, provider, model)
    return socket


async def _negotiate(
    request: web.Request, socket: web.WebSocketResponse, provider: Provider, model: str
) -> None:
    """Read messages until one makes a call, and then serve that call's control channel."""
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            await socket.close(code=1003, message=b"events are text")
            return
        try:
            event = _event(message.data)
            terms, offer = _terms(request, event, model)
            call, answer = await provider.calls.open(terms, offer)
        except Refusal as refusal:
            await _refuse(socket, refusal)
            continue
        try:
            await _answer(request, socket, call, answer)
            await ControlChannel(socket, call).serve()
        except ConnectionError:
            # The other end left before its answer.
            return
        finally:
            await provider.calls.leave(call.call_id)
        return


async def _answer(request: web.Request, socket: web.WebSocketResponse, call: Call, answer: str) -> None:
    fault = request.get(FAULT)
    await _send(socket, "session.updated", session={"model": call.terms.model})
    if fault is None:
        await _send(socket, "rtc.call.sdp.created", rtc_call_id=call.call_id, sdp_answer=answer)
        return
    await _strike(request, socket, fault, {"rtc_call_id": call.call_id, "sdp_answer": answer})


async def _strike(
    request: web.Request, socket: web.WebSocketResponse, fault: Fault, fields: dict[str, Any]
) -> None:
    """Spoil the answer to an offer whose call was made."""
    kind = "rtc.call.sdp.created"
    match fault.kind:
        case "drop_after":
            _cut(request)
        case "stall_after":
            pass
        case "trickle":
            await asyncio.sleep(fault.seconds)
            await _send(socket, kind, **fields)
        case "no_location":
            await _send(socket, kind, sdp_answer=fields["sdp_answer"])
        case "wrong_type":
            await _send(socket, kind, **{name: [value] for name, value in fields.items()})
        case "bad_json":
            await socket.send_str(json.dumps({"type": kind, **fields})[:100])
        case "huge_body":
            await _send(socket, "session.updated", session={"instructions": " " * fault.size})
        case "raw":
            # Until the other end has had enough.
            while not socket.closed:
                await socket.send_str(fault.body or "")
                await asyncio.sleep(fault.seconds)
        case _:
            await _send(socket, kind, **fields)


def _event(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise refusals.bad_json() from error
    if not isinstance(event, dict):
        raise refusals.wrong_type("event", "an object", event)
    if event.get("type") != "rtc.call.sdp.create":
        raise refusals.wrong_value("type", event.get("type"), ("rtc.call.sdp.create",))
    for name in event:
        if name not in ("type", "event_id", "sdp_offer", "session"):
            raise refusals.unknown_parameter(name)
    return event


def _terms(request: web.Request, event: dict[str, Any], model: str) -> tuple[CallTerms, str]:
    offer, session = event.get("sdp_offer"), event.get("session", {})
    if not isinstance(offer, str) or not offer:
        raise Refusal(400, "SDP offer is required", code="missing_sdp")
    if not isinstance(session, dict):
        raise refusals.wrong_type("session", "an object", session)
    for name in session:
        if name not in _SESSION_FIELDS:
            raise refusals.unknown_parameter(f"session.{name}")
    shown = {name: session[name] for name in ("instructions", "tools", "tool_choice") if name in session}
    key = request.headers.get("api-key") or bearer(request) or ""
    terms = CallTerms(
        "azure",
        digest(key),
        model,
        session_defaults("realtime", {**shown, "model": model}),
        fault=media_fault(request),
        standard=True,
        channel=CHANNEL,
    )
    return terms, read_offer(offer.encode())


async def _refuse(socket: web.WebSocketResponse, refusal: Refusal) -> None:
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    error = {"type": kind, "code": refusal.code, "message": refusal.message}
    await _send(socket, "rtc.call.error", operation="rtc.call.sdp.create", error=error)


async def _send(socket: web.WebSocketResponse, kind: str, **fields: Any) -> None:
    await socket.send_json({"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **fields})


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


class ControlChannel(SandboxSideband):
    """The socket after the answer: of the call's events it carries those that its server must act on."""

    def send(self, text: str) -> None:
        """Send one event soon, if it is one for this channel."""
        if json.loads(text)["type"] in _CONTROL_EVENTS:
            super().send(text)
