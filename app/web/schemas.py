"""Turns a mint request's JSON into a ``MintRequest``. Pure; every refusal names the field.

Written by hand, since all but three fields belong to the provider and pass through untouched.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.errors import InvalidRequest
from app.models import MAX_KEY_SECONDS, MIN_KEY_SECONDS, Family, MintRequest

_FIELDS: Final = frozenset({"model", "session", "expires_after"})
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}\Z")
# RFC 6454: scheme://host[:port], or the word null.
_ORIGIN = re.compile(r"[\x21-\x7e]{1,300}\Z")
_ANCHOR: Final = "created_at"


def parse_mint(
    body: dict[str, Any], *, default_model: str | None, subject: str | None, origin: str | None
) -> MintRequest:
    """Read OpenAI's ``{session, expires_after}`` and LiteLLM's ``{model}``.

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
    kind = session.get("type", Family.REALTIME.value)
    if kind != Family.REALTIME.value:
        raise InvalidRequest("'session.type' must be 'realtime'.", param="session.type")
    if subject is not None and not _SUBJECT.match(subject):
        raise InvalidRequest("A subject has 1 to 128 printable characters.", param="x-cloakroom-subject")
    if origin is not None and not _ORIGIN.match(origin):
        raise InvalidRequest("The Origin header is not one.", param="origin")
    return MintRequest(
        model=_model(body, session, default_model),
        family=Family.REALTIME,
        session=session,
        seconds=_seconds(body.get("expires_after")),
        subject=subject,
        origin=origin,
    )


def _model(body: dict[str, Any], session: dict[str, Any], default_model: str | None) -> str:
    named = [
        (value, param)
        for value, param in ((session.get("model"), "session.model"), (body.get("model"), "model"))
        if value is not None
    ]
    for value, param in named:
        if not isinstance(value, str) or not _MODEL.match(value):
            raise InvalidRequest("A model is named by a string such as 'gpt-realtime'.", param=param)
    if len(named) == 2 and named[0][0] != named[1][0]:
        raise InvalidRequest("'model' and 'session.model' name different models.", param="model")
    if named:
        return str(named[0][0])
    if default_model is None:
        raise InvalidRequest(
            'Name a model: {"session": {"type": "realtime", "model": ...}}.', param="session.model"
        )
    return default_model


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
    if type(seconds) is not int or not MIN_KEY_SECONDS <= seconds <= MAX_KEY_SECONDS:
        raise InvalidRequest(
            f"'expires_after.seconds' must be a whole number from {MIN_KEY_SECONDS} to {MAX_KEY_SECONDS}.",
            param="expires_after.seconds",
        )
    return seconds
