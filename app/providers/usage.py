"""What a realtime call used, read from its events and added up. Pure.

Source: OpenAI's API reference, "Realtime server events", and the types of its Python SDK; of GPT-Live,
``openai.types.live`` of its release 3.52. The figures are the provider's: nothing is estimated, with one
exception. The seconds of its answers follow from their audio tokens (``ANSWER_SECONDS_A_TOKEN``), since no
event tells them.

A Live session tells its seconds as running totals, so the last one counts and none is added to another. What
it delegates to OpenAI's Responses API is told as that API's events, by the tokens of each response.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import orjson

# What an event must contain to be parsed at all. A call has many more events than these.
_WANTED: Final = (
    '"response.done"',
    '"conversation.item.input_audio_transcription.completed"',
    '"input_audio_buffer.speech_',
    '"session.created"',
    '"session.updated"',
    '"session_expired"',
    '"session.started"',
    '"session.usage.updated"',
    '"session.closed"',
    '"response.completed"',
    '"response.incomplete"',
    '"response.failed"',
)
# An event with audio is long and names its type first; there is no need to look through all of it.
_HEAD: Final = 256
_AUDIO: Final = "audio.delta"
# OpenAI's guide "Managing costs" (Realtime): an answer's audio is one token for each 50 ms.
ANSWER_SECONDS_A_TOKEN: Final = 0.05
# More than this in one figure of one event is a defect, not a usage.
_LARGEST: Final = 1_000_000_000
_LONGEST_MODEL: Final = 128
# Why a Live session ended, where that says more than that it did: in the words of our records. The other
# reasons are ``close_requested`` and ``remote_hangup``.
_LIVE_ENDS: Final[Mapping[str, str]] = {
    "expired": "session_expired",
    "content": "content_filter",
    "connection_lost": "connection_lost",
}
_LIVE_DONE: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
# A response that is told twice counts once.
_REMEMBERED: Final = 32

# Kinds of tokens of which each token is one, so that prices and sums need no subtraction.
KINDS: Final = (
    "input_text",
    "input_audio",
    "input_image",
    "input_other",
    "cached_text",
    "cached_audio",
    "cached_image",
    "cached_other",
    "output_text",
    "output_audio",
    "output_other",
    "transcription_input",
    "transcription_output",
)

_INPUT: Final = ("text", "audio", "image")
_OUTPUT: Final = ("text", "audio")


class Usage:
    """The sums of one call.

    Args:
        figures: sums to go on from, by ``app.models.USAGE_FIGURES``.
        model: the provider's name of the model, empty while it is not known.
    """

    __slots__ = ("_done", "_speech", "closed", "ended", "figures", "model")

    def __init__(self, figures: Mapping[str, float] | None = None, *, model: str = "") -> None:
        self.figures: dict[str, float] = dict(figures or {})
        self.model = model
        # Why the session ended, where the provider said so: ``session_expired``, or one of ``_LIVE_ENDS``.
        self.ended = ""
        # It sent the last event of the session.
        self.closed = False
        self._done: deque[str] = deque(maxlen=_REMEMBERED)
        # The item that is being spoken, and its beginning in milliseconds of the session.
        self._speech: tuple[str, int] | None = None

    def read(self, event: str) -> dict[str, float]:
        """Add what this event tells. Returns by how much the sums grew, nothing for most events."""
        if _AUDIO in event[:_HEAD] or not any(wanted in event for wanted in _WANTED):
            return {}
        try:
            fields = orjson.loads(event)
        except orjson.JSONDecodeError:
            return {}
        if not isinstance(fields, dict):
            return {}
        more = {name: value for name, value in self._of(fields).items() if value}
        for name, value in more.items():
            self.figures[name] = round(self.figures.get(name, 0) + value, 3)
        return more

    def _of(self, fields: dict[str, Any]) -> dict[str, float]:
        kind = fields.get("type")
        if kind == "response.done":
            return self._response(_object(fields, "response"))
        if kind == "conversation.item.input_audio_transcription.completed":
            return _transcription(_object(fields, "usage"))
        if kind == "input_audio_buffer.speech_started":
            self._speech = _text(fields, "item_id"), _whole(fields, "audio_start_ms")
        elif kind == "input_audio_buffer.speech_stopped":
            return self._spoken(fields)
        elif kind in ("session.created", "session.updated"):
            self.model = _text(_object(fields, "session"), "model")[:_LONGEST_MODEL] or self.model
        elif kind == "error" and _object(fields, "error").get("code") == "session_expired":
            self.ended = "session_expired"
        else:
            return self._live(kind, fields)
        return {}

    def _live(self, kind: Any, fields: Mapping[str, Any]) -> dict[str, float]:
        if kind == "response.event":
            event = _object(fields, "event")
            return self._delegated(_object(event, "response")) if event.get("type") in _LIVE_DONE else {}
        if kind == "session.started":
            self.model = _text(_object(fields, "session"), "model")[:_LONGEST_MODEL] or self.model
        elif kind == "session.closed":
            self.ended = _LIVE_ENDS.get(_text(fields, "reason"), self.ended)
            self.closed = True
        if kind not in ("session.usage.updated", "session.closed"):
            return {}
        total = _seconds(_object(fields, "usage"), "seconds")
        return {"live_seconds": max(round(total - self.figures.get("live_seconds", 0), 3), 0)}

    def _delegated(self, response: Mapping[str, Any]) -> dict[str, float]:
        if self._told(response):
            return {}
        usage = _object(response, "usage")
        return {
            "responses": 1,
            "input_tokens": _whole(usage, "input_tokens"),
            "cached_tokens": _whole(_object(usage, "input_tokens_details"), "cached_tokens"),
            "output_tokens": _whole(usage, "output_tokens"),
        }

    def _response(self, response: Mapping[str, Any]) -> dict[str, float]:
        if self._told(response):
            return {}
        usage = _object(response, "usage")
        read, made = _object(usage, "input_token_details"), _object(usage, "output_token_details")
        cached = _object(read, "cached_tokens_details")
        answer = _whole(made, "audio_tokens")
        return {
            "responses": 1,
            "input_tokens": _whole(usage, "input_tokens"),
            **{f"input_{part}_tokens": _whole(read, f"{part}_tokens") for part in _INPUT},
            "cached_tokens": _whole(read, "cached_tokens"),
            **{f"cached_{part}_tokens": _whole(cached, f"{part}_tokens") for part in _INPUT},
            "output_tokens": _whole(usage, "output_tokens"),
            **{f"output_{part}_tokens": _whole(made, f"{part}_tokens") for part in _OUTPUT},
            "answer_seconds": round(answer * ANSWER_SECONDS_A_TOKEN, 3),
        }

    def _told(self, response: Mapping[str, Any]) -> bool:
        """Whether this response counted already."""
        name = _text(response, "id")
        if name in self._done:
            return True
        if name:
            self._done.append(name)
        return False

    def _spoken(self, fields: Mapping[str, Any]) -> dict[str, float]:
        begun, self._speech = self._speech, None
        end = _whole(fields, "audio_end_ms")
        if begun is None or begun[0] != _text(fields, "item_id") or end <= begun[1]:
            return {}
        return {"speech_seconds": (end - begun[1]) / 1000}


def kinds_of(figures: Mapping[str, float]) -> dict[str, int]:
    """Tokens by ``KINDS``, without those of which there are none.

    What a provider tells only as a sum is ``other``. Where it does not say which tokens were cached, it is
    not known either which were not.
    """
    read = {part: int(figures.get(f"input_{part}_tokens", 0)) for part in _INPUT}
    cached = {part: int(figures.get(f"cached_{part}_tokens", 0)) for part in _INPUT}
    all_read, all_cached = int(figures.get("input_tokens", 0)), int(figures.get("cached_tokens", 0))
    if sum(cached.values()) == all_cached and all(cached[part] <= read[part] for part in _INPUT):
        found = {f"input_{part}": read[part] - cached[part] for part in _INPUT}
        found |= {f"cached_{part}": cached[part] for part in _INPUT}
        found["input_other"] = all_read - sum(read.values())
    else:
        found = {"input_other": all_read - all_cached, "cached_other": all_cached}
    made = {f"output_{part}": int(figures.get(f"output_{part}_tokens", 0)) for part in _OUTPUT}
    found |= made | {"output_other": int(figures.get("output_tokens", 0)) - sum(made.values())}
    for side in ("input", "output"):
        found[f"transcription_{side}"] = int(figures.get(f"transcription_{side}_tokens", 0))
    return {kind: found[kind] for kind in KINDS if found.get(kind, 0) > 0}


def _transcription(usage: Mapping[str, Any]) -> dict[str, float]:
    if usage.get("type") == "duration":
        return {"transcriptions": 1, "transcription_seconds": _seconds(usage, "seconds")}
    return {
        "transcriptions": 1,
        "transcription_input_tokens": _whole(usage, "input_tokens"),
        "transcription_output_tokens": _whole(usage, "output_tokens"),
    }


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _whole(fields: Mapping[str, Any], name: str) -> int:
    """A count; 0 for what is none."""
    value = fields.get(name)
    # In Python, True is an int.
    return value if type(value) is int and 0 <= value <= _LARGEST else 0


def _seconds(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return round(float(value), 3) if 0 <= value <= _LARGEST else 0.0
