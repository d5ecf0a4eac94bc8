"""The partner of a GPT-Live session: no turns and no items, a voice that answers what it heard.

Source of names and shapes: `openai/types/live` of OpenAI's Python SDK 3.52. Guesses, since nothing tells: the
first event of a sideband, how often usage is told, and the codes of `error` events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiortc import RTCDataChannel

from ..peer.voice import SpeechEdge, VoiceTrack, speech
from .outbox import EventError, Outbox, Sink, Spawn, parse_event
from .response import WORD_SECONDS
from .sessions import merged
from .silent import LEAST_BILLED, closed_text

_LISTENING = {"type": "server_vad", "silence_duration_ms": 500}
# Between two tellings of usage.
USAGE_SECONDS = 0.5
_APPENDED = {
    "session.instructions.append": "session.instructions.appended",
    "session.thinking.append": "session.thinking.appended",
    "session.commentary.append": "session.commentary.appended",
}
_UPDATES = frozenset({"delegation", "triggers"})


def allows_channel(session: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], bool]:
    """Which server events the session lets through to the browser's data channel; no list lets all."""
    allowed = _data_channel(session).get("allowed_server_events")
    if not isinstance(allowed, list):
        return lambda _kind, _fields: True
    plain = {entry["type"] for entry in allowed if "response_event" not in entry}
    nested = {entry["response_event"] for entry in allowed if "response_event" in entry}

    def passes(kind: str, fields: Mapping[str, Any]) -> bool:
        return fields["event"].get("type") in nested if kind == "response.event" else kind in plain

    return passes


class LiveSession:
    """Says what it heard; takes context from its application; tells its usage as running totals."""

    def __init__(
        self,
        session: dict[str, Any],
        outbox: Outbox,
        voice: VoiceTrack,
        spawn: Spawn,
        end: Callable[[str], None],
    ) -> None:
        self._session = session
        self._outbox = outbox
        self._voice = voice
        self._spawn = spawn
        self._end = end
        self._began: float | None = None
        self._muted = False
        self._heard_from = 0

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """How to hear speech: always, but for a mute."""
        return None if self._muted else _LISTENING

    def open(self, channel: RTCDataChannel) -> None:
        """The browser's channel is open: the session has started for it, and its time counts."""
        self._outbox.connect(channel, "session.started", session=self._session)
        told = "The data channel carries the events that the session allows."
        self._outbox.send("info", code="data_channel_permissions", message=told)
        if self._began is None:
            self._began = _now()
            self._spawn(self._tell_usage())

    def attach(self, sink: Sink) -> None:
        """A sideband begins: it gets the session as it is now, and all further events."""
        self._outbox.attach(sink, "session.started", session=self._session)

    def detach(self, sink: Sink) -> None:
        """A sideband ends."""
        self._outbox.detach(sink)

    def received(self, message: str | bytes, sink: Sink | None = None) -> None:
        """One event from the browser, which may send the allowed ones only, or from a sideband."""
        event: dict[str, Any] = {}
        try:
            event = parse_event(message)
            kind = event.get("type")
            allowed = _data_channel(self._session).get("allowed_client_events")
            if sink is None and isinstance(allowed, list) and kind not in allowed:
                raise EventError(f"The data channel may not send '{kind}'.", "event_not_allowed", "type")
            self._act(kind, event)
        except EventError as error:
            self._refuse(error, event.get("event_id"), sink)

    def heard(self, edge: SpeechEdge) -> None:
        """Speech began or ended; what ended is told, and answered."""
        if edge.kind == "started":
            self._heard_from = edge.at_ms
            return
        heard = f"{(edge.at_ms - self._heard_from) / 1000:.1f} seconds of speech"
        times = {"start_ms": self._heard_from, "end_ms": edge.at_ms}
        self._outbox.send("session.input_transcript.delta", delta=heard, **times)
        self._spawn(self._speak(f"I heard {heard}."))

    def ending(self, reason: str) -> None:
        """The call is over: say why, and what it came to."""
        self._outbox.send("session.closed", **closed_text(self._session, reason, self._seconds()))

    def _act(self, kind: Any, event: Mapping[str, Any]) -> None:
        match kind:
            case "session.update":
                self._update(event)
            case "session.input_audio.mute" | "session.input_audio.unmute":
                self._muted = kind.endswith(".mute")
                self._acknowledge(f"{kind}d", event)
            case "session.close":
                self._end("close_requested")
            case _ if kind in _APPENDED:
                self._append(str(kind), event)
            case "response.create" | "response.item.create":
                raise EventError("This session delegates to its application.", "invalid_event", "type")
            case "session.start" | "session.input_audio.append":
                raise EventError(f"A WebRTC session takes no '{kind}'.", "invalid_event", "type")
            case _:
                raise EventError(f"Invalid value: '{kind}'.", "invalid_value", "type")

    def _append(self, kind: str, event: Mapping[str, Any]) -> None:
        content = event.get("content")
        if not isinstance(content, str):
            raise EventError(
                "Missing required parameter: 'content'.", "missing_required_parameter", "content"
            )
        if "delegation_id" not in event:
            raise EventError(
                "Missing required parameter: 'delegation_id'.", "missing_required_parameter", "delegation_id"
            )
        at = self._at_ms()
        self._acknowledge(_APPENDED[kind], event, start_ms=at, end_ms=at)
        if kind == "session.commentary.append":
            self._spawn(self._speak(content))

    def _update(self, event: Mapping[str, Any]) -> None:
        change = event.get("session")
        if not isinstance(change, dict):
            raise EventError(
                "Missing required parameter: 'session'.", "missing_required_parameter", "session"
            )
        for name in change:
            if name not in _UPDATES:
                raise EventError(
                    f"Unknown parameter: 'session.{name}'.", "unknown_parameter", f"session.{name}"
                )
        self._session = merged(self._session, change)
        self._acknowledge("session.updated", event, session=self._session)

    def _acknowledge(self, kind: str, event: Mapping[str, Any], **fields: Any) -> None:
        named = event.get("event_id")
        known = {"client_event_id": named} if isinstance(named, str) else {}
        self._outbox.send(kind, **known, **fields)

    def _refuse(self, error: EventError, client_event_id: Any, sink: Sink | None) -> None:
        fields = {"type": "invalid_request_error", "code": error.code, "message": error.message}
        if error.param is not None:
            fields["param"] = error.param
        if isinstance(client_event_id, str):
            fields["client_event_id"] = client_event_id
        self._outbox.reply("error", sink, error=fields)

    async def _tell_usage(self) -> None:
        while True:
            usage = {"seconds": self._seconds()}
            self._outbox.send("session.usage.updated", usage=usage, context_window={"usage_ratio": 0.01})
            await asyncio.sleep(USAGE_SECONDS)

    async def _speak(self, words: str) -> None:
        utterance = self._voice.say()
        try:
            for number, word in enumerate(words.split()):
                delta = word if number == 0 else f" {word}"
                sound = speech(delta)
                utterance.feed(sound)
                start = self._at_ms()
                times = {"start_ms": start, "end_ms": start + int(1000 * WORD_SECONDS)}
                self._outbox.send_audio("session.output_audio.delta", sound.tobytes(), **times)
                self._outbox.send("session.output_transcript.delta", delta=delta, **times)
                await asyncio.sleep(WORD_SECONDS)
        finally:
            utterance.finish()

    def _seconds(self) -> float:
        lasted = 0.0 if self._began is None else _now() - self._began
        return round(max(LEAST_BILLED, lasted), 3)

    def _at_ms(self) -> int:
        return 0 if self._began is None else int(1000 * (_now() - self._began))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _data_channel(session: Mapping[str, Any]) -> Mapping[str, Any]:
    client = session.get("client") or {}
    found: Mapping[str, Any] = client.get("data_channel") or {}
    return found
