"""The partner's side of the data channel: the session and its conversation, in the GA events."""

from __future__ import annotations

import json
import secrets
from typing import Any

from aiortc import RTCDataChannel

from .calls import CallTerms
from .listening import SpeechEdge
from .sessions import merged
from .voice import speech
from .voice_track import VoiceTrack


class Conversation:
    """Speaks events on the browser's channel."""

    def __init__(self, terms: CallTerms, voice: VoiceTrack, greeting: str) -> None:
        self._session: dict[str, Any] = dict(terms.session)
        self._voice = voice
        self._greeting = greeting
        self._channel: RTCDataChannel | None = None

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """The session's `audio.input.turn_detection`."""
        found = self._session.get("audio", {}).get("input", {}).get("turn_detection")
        return found if isinstance(found, dict) else None

    def open(self, channel: RTCDataChannel) -> None:
        """The browser's channel is open: the session is created."""
        self._channel = channel
        self._send("session.created", session=self._session)
        if self._greeting:
            self._voice.say(speech(self._greeting))

    def received(self, message: str | bytes) -> None:
        """One event from the browser."""
        event = json.loads(message)
        if event.get("type") == "session.update":
            self._session = merged(self._session, event["session"])
            self._send("session.updated", session=self._session)

    def heard(self, edge: SpeechEdge) -> None:
        """Speech began or ended."""
        self._send(f"input_audio_buffer.speech_{edge.kind}")

    def close(self) -> None:
        """The call is over."""

    def _send(self, kind: str, **fields: Any) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(
                json.dumps({"type": kind, "event_id": f"event_{secrets.token_hex(10)}", **fields})
            )
