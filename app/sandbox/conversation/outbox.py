"""Server events on their way to the browser and the sidebands, and what Azure's filter lets through."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

# Runs what takes time for as long as the call lives.
Spawn = Callable[[Coroutine[Any, Any, None]], None]
# Takes the text of one server event; must not block.
Sink = Callable[[str], None]
# Whether the browser's channel gets an event of this type with these fields.
Passes = Callable[[str, Mapping[str, Any]], bool]

# What a browser still gets under `webrtcfilter=on`. Source: Microsoft's guide "Use the GPT Realtime API via
# WebRTC". The session with its instructions, responses with their tool calls, and errors are not among them.
FILTERED_KINDS = frozenset(
    {
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.added",
        "conversation.item.created",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
    }
)


class EventError(Exception):
    """A client event that the provider refuses: it is answered with `error`, and the session goes on."""

    def __init__(self, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


def new_id(prefix: str) -> str:
    """An id in the provider's form, such as `item_` and 20 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(10)}"


def parse_event(message: str | bytes) -> dict[str, Any]:
    """A client event. Raises EventError when it is no JSON object."""
    try:
        event = json.loads(message)
    except ValueError as error:
        raise EventError("The event could not be parsed as JSON.", "invalid_json") from error
    if not isinstance(event, dict):
        raise EventError("The event must be a JSON object.", "invalid_value", "type")
    return event


class Outbox:
    """Sends server events, each with its `event_id`, to the data channel and to every sideband.

    The channel gets none before it is connected. The filter is for the channel alone: Azure's where
    `filtered`, else `passes`.
    """

    def __init__(self, *, filtered: bool, passes: Passes | None = None) -> None:
        self._passes = _passes if filtered else passes
        self._channel: RTCDataChannel | None = None
        self._sinks: list[Sink] = []

    def connect(self, channel: RTCDataChannel, kind: str, **fields: Any) -> None:
        """Send to this channel from now on, and this event to it alone."""
        self._channel = channel
        self._to_channel(kind, fields, event_text(kind, fields))

    def attach(self, sink: Sink, kind: str, **fields: Any) -> None:
        """Send to this sideband from now on, and this event to it alone."""
        self._sinks.append(sink)
        sink(event_text(kind, fields))

    def detach(self, sink: Sink) -> None:
        """Send it no more."""
        self._sinks.remove(sink)

    def send(self, kind: str, **fields: Any) -> None:
        """Send one event to all, unless the filter holds it back from the channel."""
        text = event_text(kind, fields)
        self._to_channel(kind, fields, text)
        for sink in self._sinks:
            sink(text)

    def send_audio(self, kind: str, samples: bytes, **fields: Any) -> None:
        """Send sound as an event, which only sidebands get: the browser has its track."""
        if self._sinks:
            text = event_text(kind, {**fields, "delta": base64.b64encode(samples).decode()})
            for sink in self._sinks:
                sink(text)

    def refuse(self, error: EventError, client_event_id: object, sink: Sink | None = None) -> None:
        """Answer a bad client event with an `error` event: to the sideband that sent it, else the channel."""
        self.reply("error", sink, error=error_fields(error, client_event_id))

    def reply(self, kind: str, sink: Sink | None, **fields: Any) -> None:
        """Send one event to this sideband alone, or without one to the channel alone."""
        text = event_text(kind, fields)
        if sink is not None:
            sink(text)
        else:
            self._to_channel(kind, fields, text)

    def _to_channel(self, kind: str, fields: dict[str, Any], text: str) -> None:
        # Between the browser's leaving and the call's end there is no receiver.
        if self._channel is None or self._channel.readyState != "open":
            return
        if self._passes is None or self._passes(kind, fields):
            self._channel.send(text)


def event_text(kind: str, fields: dict[str, Any]) -> str:
    """A server event as it is sent."""
    return json.dumps({"type": kind, "event_id": new_id("event"), **fields})


def error_fields(error: EventError, client_event_id: object) -> dict[str, Any]:
    """The field `error` of an `error` event."""
    return {
        "type": "invalid_request_error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": client_event_id if isinstance(client_event_id, str) else None,
    }


def _passes(kind: str, fields: Mapping[str, Any]) -> bool:
    if kind not in FILTERED_KINDS:
        return False
    # An item may be a tool call, or a system message: those are what the filter is there to hide.
    item = fields.get("item")
    return item is None or (item["type"] == "message" and item.get("role") != "system")
