"""Turns a mint request's JSON into a ``MintRequest``. Pure; every refusal names the field.

Written by hand, since all but three fields belong to the provider and pass through untouched.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.errors import InvalidRequest
from app.models import MAX_KEY_SECONDS, MIN_KEY_SECONDS, Family, MintRequest
from app.providers.sessions import main_model, main_path, misplaced, nested_model

_FIELDS: Final = frozenset({"model", "session", "expires_after"})
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}\Z")
# RFC 6454: scheme://host[:port], or the word null.
_ORIGIN = re.compile(r"[\x21-\x7e]{1,300}\Z")
_ANCHOR: Final = "created_at"


def parse_mint(
    body: dict[str, Any],
    *,
    default_model: str | None,
    subject: str | None,
    origin: str | None,
    safety_identifier: str | None = None,
    translation: bool = False,
) -> MintRequest:
    """Read OpenAI's ``{session, expires_after}`` and LiteLLM's ``{model}``.

    ``translation`` is for the path whose sessions have a family of their own and no ``type``.

    Raises:
        InvalidRequest: with ``param`` naming the field.
    """
    for name in body:
        if name not in _FIELDS:
            raise InvalidRequest(
                "Unknown field; a mint request takes session, expires_after and model.", param=name[:64]
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
    _check_header(subject, _SUBJECT, "A subject has 1 to 128 printable characters.", "x-cloakroom-subject")
    _check_header(origin, _ORIGIN, "The Origin header is not one.", "origin")
    _check_header(
        safety_identifier,
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
        subject=subject,
        origin=origin,
        safety_identifier=safety_identifier,
    )


def _family(session: dict[str, Any]) -> Family:
    kind = session.get("type", Family.REALTIME.value)
    if kind in (Family.REALTIME.value, Family.TRANSCRIPTION.value):
        return Family(kind)
    raise InvalidRequest("'session.type' must be 'realtime' or 'transcription'.", param="session.type")


def _check_header(value: str | None, pattern: re.Pattern[str], message: str, param: str) -> None:
    if value is not None and not pattern.match(value):
        raise InvalidRequest(message, param=param)


def _model(body: dict[str, Any], session: dict[str, Any], family: Family, default_model: str | None) -> str:
    place = ".".join(("session", *main_path(family)))
    named = [
        (value, param)
        for value, param in ((main_model(family, session), place), (body.get("model"), "model"))
        if value is not None
    ]
    for value, param in named:
        _check_name(value, param)
    if len(named) == 2 and named[0][0] != named[1][0]:
        raise InvalidRequest(f"'model' and '{place}' name different models.", param="model")
    if named:
        return str(named[0][0])
    # The default is a model to talk to; it cannot stand in for one that transcribes or translates.
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
        raise InvalidRequest("A model is named by a string such as 'gpt-realtime'.", param=param)


def _seconds(expires_after: Any) -> int | None:
    if expires_after is None:
        return None
    if not isinstance(expires_after, dict) or expires_after.keys() - {"anchor", "seconds"}:
        raise InvalidRequest("'expires_after' is {anchor, seconds}.", param="expires_after")
    if expires_after.get("anchor", _ANCHOR) != _ANCHOR:
        raise InvalidRequest(f"'expires_after.anchor' must be '{_ANCHOR}'.", param="expires_after.anchor")
    seconds = expires_after.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, float) and seconds.is_integer():
        # JSON has one kind of number: 60.0 is as whole as 60.
        seconds = int(seconds)
    if type(seconds) is not int or not MIN_KEY_SECONDS <= seconds <= MAX_KEY_SECONDS:
        raise InvalidRequest(
            f"'expires_after.seconds' must be a whole number from {MIN_KEY_SECONDS} to {MAX_KEY_SECONDS}.",
            param="expires_after.seconds",
        )
    return seconds
