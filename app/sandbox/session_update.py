"""What `session.update` may change. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .outbox import EventError
from .sessions import merged

# The beta's flat fields: the GA session refuses them, as pages written for the beta find out.
_BETA_FIELDS = (
    "voice",
    "modalities",
    "input_audio_format",
    "output_audio_format",
    "input_audio_transcription",
    "turn_detection",
    "temperature",
    "max_response_output_tokens",
)


def updated(session: Mapping[str, Any], change: Any, *, spoken: bool) -> dict[str, Any]:
    """The session after the change.

    The model never changes within a session, nor the voice once it has `spoken`. Raises EventError for a
    missing or other session type, for the beta's fields, and for a change of voice too late.
    """
    if not isinstance(change, dict):
        raise EventError("Missing required parameter: 'session'.", "missing_required_parameter", "session")
    if "type" not in change:
        raise EventError(
            "Missing required parameter: 'session.type'.", "missing_required_parameter", "session.type"
        )
    if change["type"] != session.get("type"):
        raise EventError(
            f"Passing a {change['type']} session update to a {session.get('type')} session is not allowed.",
            "invalid_session_type",
            "session.type",
        )
    for name in _BETA_FIELDS:
        if name in change:
            raise EventError(f"Unknown parameter: 'session.{name}'.", "unknown_parameter", f"session.{name}")
    after = merged(session, {name: value for name, value in change.items() if name != "model"})
    if spoken and _voice(after) != _voice(session):
        raise EventError(
            "Cannot update a conversation's voice if assistant audio is present.",
            "cannot_update_voice",
            "session.audio.output.voice",
        )
    return after


def _voice(session: Mapping[str, Any]) -> Any:
    audio = session.get("audio")
    output = audio.get("output") if isinstance(audio, Mapping) else None
    return output.get("voice") if isinstance(output, Mapping) else None
