"""The beta's flat sessions, translated to the generally available form and back. Pure.

OpenAI retires ``/realtime/sessions`` and ``/realtime/transcription_sessions``; pages that were written for
them mint through the GA endpoint here and get the answer in the shape that they expect. Source of the
beta's fields: OpenAI's API reference, "realtime-sessions", and the migration guide's table of new names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.errors import InvalidRequest
from app.models import MintRequest

_FORMATS: Final[Mapping[str, dict[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
# Beta field to its place in a GA session.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
}
_MODALITIES: Final = ("audio", "text")
# The GA session has no place for it, and the provider would refuse it.
_DROPPED: Final = frozenset({"temperature", "client_secret"})
# Where an error of the GA form lies in the beta's body.
_PARAMS: Final[Mapping[str, str]] = {
    "session.model": "model",
    "session.audio.input.transcription.model": "input_audio_transcription.model",
    "session.audio.input.transcription": "input_audio_transcription",
    "expires_after": "client_secret.expires_after",
    "expires_after.anchor": "client_secret.expires_after.anchor",
    "expires_after.seconds": "client_secret.expires_after.seconds",
}

Parse = Callable[..., MintRequest]


def parse_beta(body: dict[str, Any], parse: Parse, *, transcription: bool, **context: Any) -> MintRequest:
    """Read a flat body with ``parse``, the GA form's reader, and name its faults by the beta's fields.

    Raises:
        InvalidRequest: as ``parse``.
    """
    try:
        return parse(_ga_body(body, transcription=transcription), **context)
    except InvalidRequest as error:
        if error.param is not None:
            error.param = _PARAMS.get(error.param, error.param)
        raise


def beta_session(
    body: Mapping[str, Any], session: Mapping[str, Any], *, transcription: bool
) -> dict[str, Any]:
    """The flat session that the beta answered with: what was asked for, under the provider's id."""
    asked = {name: value for name, value in body.items() if name != "client_secret"}
    kind = "realtime.transcription_session" if transcription else "realtime.session"
    return {"id": session.get("id"), "object": kind, **asked}


def _ga_body(body: Mapping[str, Any], *, transcription: bool) -> dict[str, Any]:
    session: dict[str, Any] = {"type": "transcription" if transcription else "realtime"}
    for name, value in body.items():
        if name in _DROPPED or value is None:
            continue
        _place(session, _PLACES.get(name, (name,)), _new_value(name, value))
    ga: dict[str, Any] = {"session": session}
    secret = body.get("client_secret")
    if secret is not None:
        if not isinstance(secret, dict):
            raise InvalidRequest("'client_secret' must be an object.", param="client_secret")
        ga["expires_after"] = secret.get("expires_after")
    return ga


def _new_value(name: str, value: Any) -> Any:
    if name in ("input_audio_format", "output_audio_format"):
        if not isinstance(value, str) or value not in _FORMATS:
            raise InvalidRequest(f"'{name}' must be one of {', '.join(_FORMATS)}.", param=name)
        return _FORMATS[value]
    if name == "modalities":
        if not isinstance(value, list) or not value or not all(item in _MODALITIES for item in value):
            raise InvalidRequest("'modalities' must be a list of 'audio' and 'text'.", param=name)
        # The GA form takes one: audio, which brings its transcript, or text alone.
        return ["audio"] if "audio" in value else ["text"]
    return value


def _place(session: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *outer, last = path
    for name in outer:
        session = session.setdefault(name, {})
        if not isinstance(session, dict):
            raise InvalidRequest(
                f"'{name}' belongs to the newer form; send it to client_secrets.", param=name
            )
    session[last] = value
