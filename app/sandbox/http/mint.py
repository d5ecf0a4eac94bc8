"""The mint: the body of `POST .../client_secrets`, read as strictly as the provider does, and the key.

Source: contracts of OpenAI's and Azure OpenAI's `client_secrets`; the parameters are those of OpenAI's
Python SDK.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .. import refusals
from ..conversation.sessions import session_defaults
from ..keys import Family
from ..provider import FAULT, Provider
from ..refusals import Flavour

LIFE_MIN, LIFE_MAX = 10, 7200


@dataclass(frozen=True, slots=True)
class MintRequest:
    """What was asked for: a family, its session as sent, and a life in seconds."""

    family: Family
    session: dict[str, Any]
    seconds: int


def read_mint(body: Any, default_seconds: int) -> MintRequest:
    """A `client_secrets` body. Raises Refusal (400) with the code that OpenAI uses for each mistake."""
    _known(body, "", ("expires_after", "session"))
    session = _object(body.get("session", {"type": "realtime"}), "session")
    kind = session.get("type")
    if kind is None:
        raise refusals.missing_parameter("session.type")
    if kind not in ("realtime", "transcription"):
        raise refusals.wrong_value("session.type", kind, ("realtime", "transcription"))
    _text_or_absent(session, "model")
    return MintRequest(kind, session, _seconds(body, default_seconds))


def read_translation_mint(body: Any, default_seconds: int) -> MintRequest:
    """A `translations/client_secrets` body, whose session needs a model and names no type."""
    _known(body, "", ("expires_after", "session"))
    if "session" not in body:
        raise refusals.missing_parameter("session")
    session = _object(body["session"], "session")
    _text_or_absent(session, "model")
    if "model" not in session:
        raise refusals.missing_parameter("session.model")
    if session.get("type", "translation") != "translation":
        raise refusals.wrong_value("session.type", session["type"], ("translation",))
    return MintRequest("translation", session, _seconds(body, default_seconds))


def read_call_session(session: Any) -> MintRequest:
    """The `session` part of a multipart call: the rules of `client_secrets`, without a lifetime."""
    return read_mint({"session": session}, LIFE_MIN)


def _known(body: Any, prefix: str, names: tuple[str, ...]) -> None:
    if not isinstance(body, dict):
        raise refusals.wrong_type(prefix or "body", "an object", body)
    for name in body:
        if name not in names:
            raise refusals.unknown_parameter(f"{prefix}.{name}" if prefix else name)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusals.wrong_type(name, "an object", value)
    return value


def _text_or_absent(session: dict[str, Any], name: str) -> None:
    if name in session and not isinstance(session[name], str):
        raise refusals.wrong_type(f"session.{name}", "a string", session[name])


def _seconds(body: dict[str, Any], default: int) -> int:
    if body.get("expires_after") is None:
        return default
    wanted = body["expires_after"]
    _known(wanted, "expires_after", ("anchor", "seconds"))
    anchor = wanted.get("anchor", "created_at")
    if anchor != "created_at":
        raise refusals.wrong_value("expires_after.anchor", anchor, ("created_at",))
    seconds = wanted.get("seconds", default)
    # bool is an int in Python and a mistake in JSON.
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise refusals.wrong_type("expires_after.seconds", "an integer", seconds)
    if not LIFE_MIN <= seconds <= LIFE_MAX:
        raise refusals.integer_out_of_range("expires_after.seconds", seconds, LIFE_MIN, LIFE_MAX)
    return seconds


# --- Making an ephemeral key and the answer that carries it: the same for both providers --------


def mint_key(
    request: web.Request,
    provider: Provider,
    flavour: Flavour,
    family: Family,
    asked: dict[str, Any],
    seconds: int,
) -> tuple[str, int, dict[str, Any]]:
    """Mint, obeying a fault that spoils the key. Returns the key, its expiry (epoch seconds), its session.

    The session carries an `id` and a `client_secret`, as OpenAI's has been seen to: a service that passes
    the session on to a browser unread has leaked the key.
    """
    session = session_defaults(family, asked)
    fault = request.get(FAULT)
    early = fault.seconds if fault is not None and fault.kind == "expire_early" else None
    value, key = provider.keys.mint(flavour, family, session, seconds, early)
    expires_at = key.expires_at
    if fault is not None and fault.kind == "past_expiry":
        expires_at = int(provider.clock.time() - fault.seconds)
    shown = {
        "id": f"sess_{secrets.token_urlsafe(15)}",
        "expires_at": 0,
        **session,
        "client_secret": {"value": value, "expires_at": expires_at},
    }
    return value, expires_at, shown
