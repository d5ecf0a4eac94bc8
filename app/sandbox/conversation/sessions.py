"""Session objects as the provider shows them.

Source: the types of OpenAI's Python SDK, `openai/types/realtime`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..keys import Family
from .outbox import EventError

Json = dict[str, Any]

DEFAULT_INSTRUCTIONS = (
    "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI. Act like a human, but "
    "remember that you aren't a human and that you can't do human things in the real world."
)
_PCM = {"type": "audio/pcm", "rate": 24000}
_SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_REALTIME: Json = {
    "object": "realtime.session",
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": DEFAULT_INSTRUCTIONS,
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "include": None,
    "audio": {
        "input": {
            "format": _PCM,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": _SERVER_VAD,
        },
        "output": {"format": _PCM, "voice": "marin", "speed": 1.0},
    },
}
_TRANSCRIPTION: Json = {
    "object": "realtime.transcription_session",
    "type": "transcription",
    "include": None,
    "audio": {
        "input": {
            "format": _PCM,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": _SERVER_VAD,
        }
    },
}
_TRANSLATION: Json = {
    "object": "realtime.session",
    "type": "translation",
    "model": "gpt-realtime-translate",
    "audio": {"input": {"transcription": None, "noise_reduction": None}, "output": {"language": "en"}},
}
_DEFAULTS: dict[Family, Json] = {
    "realtime": _REALTIME,
    "preview": _REALTIME,
    "transcription": _TRANSCRIPTION,
    "translation": _TRANSLATION,
}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Json:
    """`base` with `change` laid over it, object by object; arrays and scalars are replaced whole."""
    result = copy.deepcopy(dict(base))
    for name, value in change.items():
        old = result.get(name)
        result[name] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else copy.deepcopy(value)
        )
    return result


def session_defaults(family: Family, asked: Mapping[str, Any]) -> Json:
    """The session that the provider makes of what was asked: unknown fields kept, missing ones filled in."""
    return merged(_DEFAULTS[family], asked)


def model_of(family: Family, session: Mapping[str, Any]) -> str | None:
    """The model that the session names, wherever its family keeps it; None when it names none or no text."""
    if family != "transcription":
        model = session.get("model")
    else:
        transcription = _path(session, "audio", "input", "transcription")
        model = transcription.get("model") if isinstance(transcription, dict) else None
    return model if isinstance(model, str) else None


def _path(value: Any, *names: str) -> Any:
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


# --- What `session.update` may change. No I/O ---------------------------------------------------


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
