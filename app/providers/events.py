"""What is read of realtime events: which of them carry audio. Pure.

A sideband passes events on as text. An event is parsed only where it might be one of these: its type, as any
other text, can hide in a JSON string only behind a ``\\u`` escape.
"""

from __future__ import annotations

from typing import Final

import orjson

# ``response.output_audio.delta``, the beta's ``response.audio.delta`` and a translation's
# ``session.output_audio.delta``. What is spoken as text is ``response.output_audio_transcript.delta``.
_AUDIO: Final = "audio.delta"
_APPEND: Final = "input_audio_buffer.append"
_ESCAPE: Final = "\\u"


def carries_audio(event: str) -> bool:
    """Whether this server event is a piece of audio."""
    if _AUDIO not in event and _ESCAPE not in event:
        return False
    kind = _type_of(event)
    return kind is not None and kind.endswith(_AUDIO)


def appends_audio(event: str) -> bool:
    """Whether this client event brings audio, or might: it names such an event and is no JSON object."""
    if _APPEND not in event and _ESCAPE not in event:
        return False
    kind = _type_of(event)
    return kind == _APPEND if kind is not None else _APPEND in event


def _type_of(event: str) -> str | None:
    """The event's type; None where it is no JSON object, or its type is no text."""
    try:
        parsed = orjson.loads(event)
    except orjson.JSONDecodeError:
        return None
    kind = parsed.get("type") if isinstance(parsed, dict) else None
    return kind if isinstance(kind, str) else None


def audio_refused(event: str) -> str:
    """The ``error`` event that answers a client event which brings audio."""
    try:
        parsed = orjson.loads(event)
    except orjson.JSONDecodeError:
        parsed = None
    given = parsed.get("event_id") if isinstance(parsed, dict) else None
    fields = {
        "type": "invalid_request_error",
        "code": "audio_not_allowed",
        "message": "A sideband carries no audio: the browser sends it to the provider itself.",
        "param": "type",
        "event_id": given if isinstance(given, str) else None,
    }
    return orjson.dumps({"type": "error", "event_id": "event_cloakroom", "error": fields}).decode()
