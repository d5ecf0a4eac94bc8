"""The partner's side of the data channel: the session, its conversation and its turns, in the GA events.

Source of names and shapes: `openai/types/realtime` of OpenAI's Python SDK, and its guide "Realtime
conversations".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCDataChannel

from ..peer.voice import SpeechEdge, VoiceTrack
from .items import Items, read_item
from .outbox import EventError, Outbox, Sink, Spawn, new_id, parse_event
from .response import Reply, Response, reply_to
from .sessions import updated


class Conversation:
    """Answers the browser's events and takes turns with its voice."""

    def __init__(
        self, session: dict[str, Any], outbox: Outbox, voice: VoiceTrack, spawn: Spawn, greeting: str
    ) -> None:
        self._session = session
        self._voice = voice
        self._spawn = spawn
        self._greeting = greeting
        self._outbox = outbox
        self._items = Items()
        self._id = new_id("conv")
        self._response: Response | None = None
        self._spoken = False
        self._turn_id = new_id("item")
        self._turn_began_ms = 0
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update_session,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.truncate": self._truncate_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": self._commit_audio,
            "input_audio_buffer.clear": self._clear_audio,
            "output_audio_buffer.clear": self._clear_output,
        }

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """The session's `audio.input.turn_detection`; None leaves the turns to the client."""
        audio = self._session.get("audio") or {}
        found = (audio.get("input") or {}).get("turn_detection")
        return found if isinstance(found, dict) else None

    def open(self, channel: RTCDataChannel) -> None:
        """The browser's channel is open: the session is created, and a greeting spoken if there is one."""
        self._outbox.connect(channel, "session.created", session=self._session)
        if self._greeting:
            self._respond(Reply(self._greeting), {})

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
            kind = event.get("type")
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            if handler is None:
                known = ", ".join(f"'{name}'" for name in self._handlers)
                raise EventError(
                    f"Invalid value: '{kind}'. Supported values are: {known}.", "invalid_value", "type"
                )
            handler(event)
        except EventError as error:
            self._outbox.refuse(error, event.get("event_id"), sink)

    def heard(self, edge: SpeechEdge) -> None:
        """Speech began or ended: the turn changes."""
        turns = self.turn_detection or {}
        if edge.kind == "started":
            self._turn_id, self._turn_began_ms = new_id("item"), edge.at_ms
            self._outbox.send(
                "input_audio_buffer.speech_started", audio_start_ms=edge.at_ms, item_id=self._turn_id
            )
            if turns.get("interrupt_response") is not False and self._response is not None:
                self._response.cancel("turn_detected")
                self._response.silence()
            return
        self._outbox.send("input_audio_buffer.speech_stopped", audio_end_ms=edge.at_ms, item_id=self._turn_id)
        self._commit(f"{(edge.at_ms - self._turn_began_ms) / 1000:.1f} seconds of speech")
        if turns.get("create_response") is not False and self._answers() and not self._busy():
            self._create_response({})

    def _commit(self, transcript: str) -> None:
        """The heard speech becomes an item. There is no recogniser here, so the transcript is its length."""
        item_id, self._turn_id = self._turn_id, new_id("item")
        content = {"type": "input_audio", "transcript": transcript}
        item = {"type": "message", "role": "user", "id": item_id, "content": [content]}
        self._outbox.send(
            "input_audio_buffer.committed", previous_item_id=self._items.last_id, item_id=item_id
        )
        self._add(item, None)
        audio = self._session.get("audio") or {}
        if (audio.get("input") or {}).get("transcription"):
            self._outbox.send(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=0,
                transcript=transcript,
                usage={"type": "duration", "seconds": 0},
            )

    def _answers(self) -> bool:
        return self._session.get("type") == "realtime"

    def _busy(self) -> bool:
        return self._response is not None and self._response.active

    def _update_session(self, event: dict[str, Any]) -> None:
        self._session = updated(self._session, event.get("session"), spoken=self._spoken)
        self._outbox.send("session.updated", session=self._session)

    def _create_item(self, event: dict[str, Any]) -> None:
        self._add(read_item(event.get("item")), event.get("previous_item_id"))

    def _add(self, item: dict[str, Any], after: Any) -> None:
        item = {"object": "realtime.item", "status": "completed", **item}
        previous = self._items.add(item, after)
        self._outbox.send("conversation.item.added", previous_item_id=previous, item=item)
        self._outbox.send("conversation.item.done", previous_item_id=previous, item=item)

    def _retrieve_item(self, event: dict[str, Any]) -> None:
        self._outbox.send("conversation.item.retrieved", item=self._items.get(event.get("item_id")))

    def _delete_item(self, event: dict[str, Any]) -> None:
        self._items.remove(event.get("item_id"))
        self._outbox.send("conversation.item.deleted", item_id=event["item_id"])

    def _truncate_item(self, event: dict[str, Any]) -> None:
        item = self._items.get(event.get("item_id"))
        if item.get("role") != "assistant":
            raise EventError(
                "Only assistant messages can be truncated.", "invalid_item_for_truncation", "item_id"
            )
        self._outbox.send(
            "conversation.item.truncated",
            item_id=item["id"],
            content_index=event.get("content_index", 0),
            audio_end_ms=event.get("audio_end_ms", 0),
        )

    def _create_response(self, event: dict[str, Any]) -> None:
        asked = event.get("response") or {}
        if not isinstance(asked, dict):
            raise EventError("Invalid type for 'response': expected an object.", "invalid_type", "response")
        if not self._answers():
            raise EventError(
                "This session type makes no responses.", "invalid_event_for_session_type", "type"
            )
        if self._busy():
            raise EventError(
                "Conversation already has an active response in progress.",
                "conversation_already_has_active_response",
            )
        self._respond(reply_to(self._items.all, self._session, asked.get("instructions")), asked)

    def _respond(self, reply: Reply, asked: dict[str, Any]) -> None:
        chosen = {
            "conversation_id": self._id,
            "output_modalities": asked.get("output_modalities", self._session.get("output_modalities")),
            "max_output_tokens": asked.get("max_output_tokens", self._session.get("max_output_tokens")),
            "metadata": asked.get("metadata"),
        }
        self._response = Response(self._outbox, self._items, self._voice, reply, chosen)
        self._spoken = self._spoken or chosen["output_modalities"] != ["text"]
        self._spawn(self._response.run())

    def _cancel_response(self, event: dict[str, Any]) -> None:
        response = self._response
        if response is None or not response.active or event.get("response_id", response.id) != response.id:
            raise EventError("Cancellation failed: no active response found", "response_cancel_not_active")
        response.cancel("client_cancelled")

    def _append_audio(self, _event: dict[str, Any]) -> None:
        raise EventError(
            "Audio is sent on the media track of a WebRTC session.", "invalid_event_for_session_type", "type"
        )

    def _commit_audio(self, _event: dict[str, Any]) -> None:
        if self.turn_detection is not None:
            raise EventError(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.",
                "input_audio_buffer_commit_empty",
            )
        self._commit("speech that you committed")

    def _clear_audio(self, _event: dict[str, Any]) -> None:
        self._turn_id = new_id("item")
        self._outbox.send("input_audio_buffer.cleared")

    def _clear_output(self, _event: dict[str, Any]) -> None:
        if self._response is not None:
            self._response.silence()
