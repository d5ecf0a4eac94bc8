"""Turns the JSON of a mint request, in the current form or the beta's, into a ``MintRequest``. Pure.

Written by hand, since all but three fields belong to the provider and pass through unchanged. Every refusal
names the field. OpenAI retires the beta's ``/realtime/sessions`` and ``/realtime/transcription_sessions``:
their flat sessions are translated to the current form and back. Source of the beta's fields: OpenAI's API
reference, "realtime-sessions", and the migration guide's table of new names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from app.errors import InvalidRequest
from app.handles.bindings import canonical_origin, parse_binding
from app.models import (
    LONGEST_CALL_SECONDS,
    MAX_KEY_SECONDS,
    MIN_KEY_SECONDS,
    NOT_BOUND,
    SHORTEST_CALL_SECONDS,
    USUAL_MODEL,
    Binding,
    Family,
    MintRequest,
)
from app.providers.sessions import main_model, main_path, misplaced, nested_model

Parse = Callable[..., MintRequest]

_FIELDS: Final = frozenset({"model", "session", "expires_after", "max_call_seconds", "bind"})
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}\Z")
# RFC 6454: scheme://host[:port], or the word null.
_ORIGIN = re.compile(r"[\x21-\x7e]{1,300}\Z")
_ANCHOR: Final = "created_at"
# A translation has a path of its own.
_TYPES: Final = {str(family): family for family in (Family.REALTIME, Family.TRANSCRIPTION, Family.LIVE)}
# Where a session of each family names its model.
_MODEL_PLACES: Final = {family: ".".join(("session", *main_path(family))) for family in Family}


class MintHeaders(NamedTuple):
    """What a mint's headers say. ``binds_origin``: the body need not name ``origin`` to bind to it."""

    subject: str | None = None
    origin: str | None = None
    safety_identifier: str | None = None
    binds_origin: bool = False


def parse_mint(
    body: dict[str, Any], *, headers: MintHeaders, default_model: str | None, translation: bool = False
) -> MintRequest:
    """Read OpenAI's ``{session, expires_after}`` and LiteLLM's ``{model}``.

    ``translation`` is for the path of translation sessions, which have no ``type``.

    Raises:
        InvalidRequest: with ``param`` naming the field.
    """
    for name in body:
        if name not in _FIELDS:
            raise InvalidRequest(
                "Unknown field. A mint request takes session, expires_after, max_call_seconds, bind and "
                "model.",
                param=name[:64],
            )
    session = body.get("session")
    if session is None:
        session = {}
    if not isinstance(session, dict):
        raise InvalidRequest("'session' must be an object.", param="session")
    place = misplaced(session)
    if place is not None:
        raise InvalidRequest(f"'{place}' must be an object.", param=place)
    family = Family.TRANSLATION if translation else _family(session)
    origin = headers.origin
    _check_header(
        headers.subject, _SUBJECT, "A subject has 1 to 128 printable characters.", "x-cloakroom-subject"
    )
    _check_header(origin, _ORIGIN, "The Origin header is not valid.", "origin")
    _check_header(
        headers.safety_identifier,
        _SUBJECT,
        "A safety identifier has 1 to 128 printable characters.",
        "openai-safety-identifier",
    )
    return MintRequest(
        model=_model(body, session, family, default_model),
        nested_model=_nested(session, family),
        family=family,
        session=session,
        seconds=_seconds(body.get("expires_after")),
        subject=headers.subject,
        origin=origin,
        safety_identifier=headers.safety_identifier,
        max_call_seconds=_call_seconds(body.get("max_call_seconds")),
        binding=_binding(body, origin if headers.binds_origin else None),
    )


def _binding(body: dict[str, Any], page: str | None) -> Binding:
    if page is None and "bind" not in body:
        return NOT_BOUND
    # An origin such as null stands for many pages, so nothing is bound to it.
    return parse_binding(body.get("bind"), usual_origin=canonical_origin(page) if page is not None else "")


def _family(session: dict[str, Any]) -> Family:
    kind = session.get("type", "realtime")
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    raise InvalidRequest(
        "'session.type' must be 'realtime', 'transcription' or 'live'.", param="session.type"
    )


def _check_header(value: str | None, pattern: re.Pattern[str], message: str, param: str) -> None:
    if value is not None and not pattern.match(value):
        raise InvalidRequest(message, param=param)


def _model(body: dict[str, Any], session: dict[str, Any], family: Family, default_model: str | None) -> str:
    inside, beside, place = main_model(family, session), body.get("model"), _MODEL_PLACES[family]
    if inside is not None:
        _check_name(inside, place)
    if beside is not None:
        _check_name(beside, "model")
        if inside is not None and inside != beside:
            raise InvalidRequest(f"'model' and '{place}' name different models.", param="model")
    named = beside if inside is None else inside
    if named is not None:
        return str(named)
    # The default is a model to talk to; it cannot transcribe or translate.
    if default_model is None or family is not Family.REALTIME:
        raise InvalidRequest(f"Name a model in '{place}'.", param=place)
    return default_model


def _nested(session: dict[str, Any], family: Family) -> str | None:
    value = nested_model(family, session)
    if value is None:
        return None
    _check_name(value, "session.audio.input.transcription.model")
    return str(value)


def _check_name(value: Any, param: str) -> None:
    if not isinstance(value, str) or not _MODEL.match(value):
        raise InvalidRequest(f"A model name must be a string such as '{USUAL_MODEL}'.", param=param)


def _seconds(expires_after: Any) -> int | None:
    if expires_after is None:
        return None
    if not isinstance(expires_after, dict) or expires_after.keys() - {"anchor", "seconds"}:
        raise InvalidRequest("'expires_after' must be {anchor, seconds}.", param="expires_after")
    if expires_after.get("anchor", _ANCHOR) != _ANCHOR:
        raise InvalidRequest(f"'expires_after.anchor' must be '{_ANCHOR}'.", param="expires_after.anchor")
    seconds = expires_after.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, float) and seconds.is_integer():
        # JSON has one kind of number, so 60.0 is a whole number too.
        seconds = int(seconds)
    if type(seconds) is not int or not MIN_KEY_SECONDS <= seconds <= MAX_KEY_SECONDS:
        raise InvalidRequest(
            f"'expires_after.seconds' must be a whole number from {MIN_KEY_SECONDS} to {MAX_KEY_SECONDS}.",
            param="expires_after.seconds",
        )
    return seconds


def _call_seconds(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not SHORTEST_CALL_SECONDS <= value <= LONGEST_CALL_SECONDS:
        raise InvalidRequest(
            "'max_call_seconds' must be a whole number from "
            f"{SHORTEST_CALL_SECONDS} to {LONGEST_CALL_SECONDS}.",
            param="max_call_seconds",
        )
    return value


# --- the beta ----------------------------------------------------------------------------------

_FORMATS: Final[Mapping[str, dict[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
# The beta's fields and their places in a current session.
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
# A current session has no place for these, and the provider would refuse them.
_DROPPED: Final = frozenset({"temperature", "client_secret"})
# Beside the session in both forms; no provider sees it.
_OURS: Final = frozenset({"max_call_seconds", "bind"})
# The current form's ``param`` of an error, and the same field in the beta's body.
_PARAMS: Final[Mapping[str, str]] = {
    "session.model": "model",
    "session.audio.input.transcription.model": "input_audio_transcription.model",
    "session.audio.input.transcription": "input_audio_transcription",
    "expires_after": "client_secret.expires_after",
    "expires_after.anchor": "client_secret.expires_after.anchor",
    "expires_after.seconds": "client_secret.expires_after.seconds",
}


def parse_beta(body: dict[str, Any], parse: Parse, *, transcription: bool, **context: Any) -> MintRequest:
    """Read a flat body with ``parse``, the current form's reader; errors name the beta's fields.

    Raises:
        InvalidRequest: as ``parse``.
    """
    try:
        return parse(_current_body(body, transcription=transcription), **context)
    except InvalidRequest as error:
        if error.param is not None:
            error.param = _PARAMS.get(error.param, error.param)
        raise


def beta_session(
    body: Mapping[str, Any], session: Mapping[str, Any], *, transcription: bool
) -> dict[str, Any]:
    """The flat session of the beta's answer: the fields as requested, with the provider's id."""
    asked = {name: value for name, value in body.items() if name != "client_secret" and name not in _OURS}
    kind = "realtime.transcription_session" if transcription else "realtime.session"
    return {"id": session.get("id"), "object": kind, **asked}


def _current_body(body: Mapping[str, Any], *, transcription: bool) -> dict[str, Any]:
    session: dict[str, Any] = {"type": "transcription" if transcription else "realtime"}
    for name, value in body.items():
        if name in _DROPPED or name in _OURS or value is None:
            continue
        _place(session, _PLACES.get(name, (name,)), _new_value(name, value))
    current: dict[str, Any] = {"session": session, **{name: body[name] for name in _OURS & body.keys()}}
    secret = body.get("client_secret")
    if secret is not None:
        if not isinstance(secret, dict):
            raise InvalidRequest("'client_secret' must be an object.", param="client_secret")
        current["expires_after"] = secret.get("expires_after")
    return current


def _new_value(name: str, value: Any) -> Any:
    if name in ("input_audio_format", "output_audio_format"):
        if not isinstance(value, str) or value not in _FORMATS:
            raise InvalidRequest(f"'{name}' must be one of {', '.join(_FORMATS)}.", param=name)
        return _FORMATS[value]
    if name == "modalities":
        if not isinstance(value, list) or not value or not all(item in _MODALITIES for item in value):
            raise InvalidRequest("'modalities' must be a list of 'audio' and 'text'.", param=name)
        # The current form takes one: audio, which includes its transcript, or text alone.
        return ["audio"] if "audio" in value else ["text"]
    return value


def _place(session: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *outer, last = path
    for name in outer:
        session = session.setdefault(name, {})
        if not isinstance(session, dict):
            raise InvalidRequest(
                f"'{name}' belongs to the current form; send it to client_secrets.", param=name
            )
    session[last] = value
