"""The partner of a translation session: no turns, no conversation, only a voice that follows another.

Source of names and shapes: `openai/types/realtime/realtime_translation_*.py` of OpenAI's Python SDK.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc import RTCDataChannel

from ..peer.voice import SpeechEdge, VoiceTrack, speech
from .outbox import EventError, Outbox, Sink, Spawn, parse_event
from .response import WORD_SECONDS
from .sessions import merged

# Translation always listens, with fixed settings that the session cannot change.
_ALWAYS_LISTENING = {"type": "server_vad", "silence_duration_ms": 300}


class Translation:
    """Says after each stretch of speech how long it was, in the session's language by name."""

    def __init__(self, session: dict[str, Any], outbox: Outbox, voice: VoiceTrack, spawn: Spawn) -> None:
        self._session = session
        self._outbox = outbox
        self._voice = voice
        self._spawn = spawn
        self._began_ms = 0

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """How to hear speech."""
        return _ALWAYS_LISTENING

    def open(self, channel: RTCDataChannel) -> None:
        """The browser's channel is open: the session is created."""
        self._outbox.connect(channel, "session.created", session=self._session)

    def attach(self, sink: Sink) -> None:
        """A sideband begins: it gets the session as it is now, and all further events."""
        self._outbox.attach(sink, "session.created", session=self._session)

    def detach(self, sink: Sink) -> None:
        """A sideband ends."""
        self._outbox.detach(sink)

    def received(self, message: str | bytes, sink: Sink | None = None) -> None:
        """One event from the browser, or from a sideband; a bad one is answered with `error`."""
        event: dict[str, Any] = {}
        try:
            event = parse_event(message)
            match event.get("type"):
                case "session.update":
                    self._update(event.get("session"))
                case "session.close":
                    self._outbox.send("session.closed")
                case kind:
                    raise EventError(
                        f"Invalid value: '{kind}'. Supported values are: 'session.update', 'session.close'.",
                        "invalid_value",
                        "type",
                    )
        except EventError as error:
            self._outbox.refuse(error, event.get("event_id"), sink)

    def heard(self, edge: SpeechEdge) -> None:
        """Speech began or ended; what ended is translated."""
        if edge.kind == "started":
            self._began_ms = edge.at_ms
            return
        heard = f"{(edge.at_ms - self._began_ms) / 1000:.1f} seconds of speech"
        audio = self._session["audio"]
        if audio["input"].get("transcription"):
            self._outbox.send("session.input_transcript.delta", delta=heard, elapsed_ms=edge.at_ms)
        self._spawn(self._speak(f"{heard}, in {audio['output'].get('language')}.", edge.at_ms))

    def _update(self, change: Any) -> None:
        if not isinstance(change, dict):
            raise EventError(
                "Missing required parameter: 'session'.", "missing_required_parameter", "session"
            )
        for name in change:
            if name != "audio":
                raise EventError(
                    f"Unknown parameter: 'session.{name}'.", "unknown_parameter", f"session.{name}"
                )
        self._session = merged(self._session, change)
        self._outbox.send("session.updated", session=self._session)

    async def _speak(self, words: str, at_ms: int) -> None:
        utterance = self._voice.say()
        try:
            for number, word in enumerate(words.split()):
                delta = word if number == 0 else f" {word}"
                sound = speech(delta)
                utterance.feed(sound)
                self._outbox.send_audio("session.output_audio.delta", sound.tobytes(), elapsed_ms=at_ms)
                self._outbox.send("session.output_transcript.delta", delta=delta, elapsed_ms=at_ms)
                await asyncio.sleep(WORD_SECONDS)
        finally:
            utterance.finish()
