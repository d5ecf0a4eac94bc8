"""A GA session in the flat form of the beta, which the preview takes. Pure.

Source: OpenAI's migration guide from the beta to GA, read backwards. Fields that are the same in both, and
fields that we do not know, pass through untouched: the provider refuses what it does not take, and nothing
that an operator pinned is lost in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.errors import InvalidRequest

_RENAMED: Final[Mapping[str, str]] = {
    "max_output_tokens": "max_response_output_tokens",
    "output_modalities": "modalities",
}
_INPUT: Final[Mapping[str, str]] = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "noise_reduction": "input_audio_noise_reduction",
    "turn_detection": "turn_detection",
}
_OUTPUT: Final[Mapping[str, str]] = {"format": "output_audio_format", "voice": "voice", "speed": "speed"}
_FORMATS: Final[Mapping[str, str]] = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}


def flat_session(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return the session without ``type`` and with ``audio`` spread out.

    Raises:
        InvalidRequest: a field stands there in both forms and they differ. Neither may win: one of them can
            be what an operator locked.
    """
    flat: dict[str, Any] = {}
    for name, value in session.items():
        if name == "type":
            continue
        spread = name == "audio" and isinstance(value, Mapping)
        fields = _spread(value) if spread else {_RENAMED.get(name, name): value}
        for flat_name, flat_value in fields.items():
            if flat.setdefault(flat_name, flat_value) != flat_value:
                raise InvalidRequest(
                    f"'{flat_name}' stands in the session twice, in the form of the beta and in today's, and "
                    "they differ.",
                    param=f"session.{flat_name}",
                )
    # The beta has no voice without its transcript; GA's ["audio"] means both.
    if flat.get("modalities") == ["audio"]:
        flat["modalities"] = ["audio", "text"]
    return flat


def _spread(audio: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for side, names in (("input", _INPUT), ("output", _OUTPUT)):
        fields = audio.get(side)
        if not isinstance(fields, Mapping):
            continue
        for name, value in fields.items():
            # An unknown field keeps its side, so that the provider's complaint tells it.
            flat[names.get(name, f"{side}_audio_{name}")] = _format(value) if name == "format" else value
    return flat


def _format(value: Any) -> Any:
    return _FORMATS.get(str(value.get("type")), value) if isinstance(value, Mapping) else value
