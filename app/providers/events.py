"""What is read of realtime events: which of them carry audio, and which is the last one. Pure.

A sideband passes events on as text. An event is parsed only where it might be one of these: its type, as any
other text, can hide in a JSON string only behind a ``\\u`` escape.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

# ``response.output_audio.delta``, the beta's ``response.audio.delta`` and a translation's
# ``session.output_audio.delta``, which is GPT-Live's too. What is spoken as text is
# ``response.output_audio_transcript.delta``. GPT-Live also reflects what it hears (``_HEARD``).
_AUDIO: Final = "audio.delta"
_HEARD: Final = "session.input_audio.append"
# Of a realtime session, and of a Live one.
_APPENDS: Final = ("input_audio_buffer.append", _HEARD, "session.output_audio.fixture.play")
_CLOSED: Final = "session.closed"
_ESCAPE: Final = "\\u"


def carries_audio(event: str) -> bool:
    """Whether this server event is a piece of audio."""
    if _AUDIO not in event and _HEARD not in event and _ESCAPE not in event:
        return False
    kind = _field(event, "type")
    return kind is not None and (kind.endswith(_AUDIO) or kind == _HEARD)


def ends_session(event: str) -> bool:
    """Whether this server event is the last one of its session."""
    return _CLOSED in event and _field(event, "type") == _CLOSED


def appends_audio(event: str) -> bool:
    """Whether this client event brings audio, by any reading of it.

    It may name its type twice, and parsers differ in which one counts. One that names such a type and cannot
    be read counts too.
    """
    named = any(name in event for name in _APPENDS)
    if not named and _ESCAPE not in event:
        return False
    try:
        fields = json.loads(event, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return named
    return isinstance(fields, _Pairs) and any(("type", name) in fields for name in _APPENDS)


def audio_refused(event: str) -> str:
    """The ``error`` event that answers a client event which brings audio."""
    asked = _field(event, "event_id")
    fields = {
        "type": "invalid_request_error",
        "code": "audio_not_allowed",
        "message": "A sideband carries no audio: the browser sends it to the provider itself.",
        "param": "type",
        "event_id": asked,
        # The same in a Live session's words.
        "client_event_id": asked,
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
