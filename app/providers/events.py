"""What is read of realtime events: which of them carry audio. Pure.

A sideband passes events on as text. An event is parsed only where it might be one of these: its type, as any
other text, can hide in a JSON string only behind a ``\\u`` escape.
"""

from __future__ import annotations

import json
from typing import Any, Final

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
    kind = _field(event, "type")
    return kind is not None and kind.endswith(_AUDIO)


def appends_audio(event: str) -> bool:
    """Whether this client event brings audio, by any reading of it.

    It may name its type twice, and parsers differ in which one counts. One that names such a type and cannot
    be read counts too.
    """
    if _APPEND not in event and _ESCAPE not in event:
        return False
    try:
        fields = json.loads(event, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return _APPEND in event
    return isinstance(fields, _Pairs) and ("type", _APPEND) in fields


def audio_refused(event: str) -> str:
    """The ``error`` event that answers a client event which brings audio."""
    fields = {
        "type": "invalid_request_error",
        "code": "audio_not_allowed",
        "message": "A sideband carries no audio: the browser sends it to the provider itself.",
        "param": "type",
        "event_id": _field(event, "event_id"),
    }
    return orjson.dumps({"type": "error", "event_id": "event_cloakroom", "error": fields}).decode()


class _Pairs(list[tuple[str, Any]]):
    """The fields of an object in their order, repeated ones too."""


def _field(event: str, name: str) -> str | None:
    """A field of the event; None where the event is no JSON object, or the field no text."""
    try:
        parsed = orjson.loads(event)
    except orjson.JSONDecodeError:
        return None
    value = parsed.get(name) if isinstance(parsed, dict) else None
    return value if isinstance(value, str) else None
