"""The provider's echo of the session, made fit for the caller. Pure.

OpenAI repeats the ephemeral key inside the session (``session.client_secret``), where every version of the
official SDKs expects one; and the model stands there under the provider's name, which is ours to keep.
"""

from __future__ import annotations

from typing import Any

import orjson

from app.models import EphemeralKey, Family
from app.sessions import with_models


def clean_session(
    key: EphemeralKey,
    *,
    family: Family,
    model: str,
    nested: str | None = None,
    handle: str,
    expires_at: int,
) -> dict[str, Any]:
    """Return the session under the caller's model names, with the handle wherever the key stood."""
    session = with_models(family, key.session, main=model, nested=nested)
    if "client_secret" in session:
        session["client_secret"] = {"value": handle, "expires_at": expires_at}
    secret = key.value.reveal()
    try:
        # As the answer will hold it: one level down, and the key as JSON spells it.
        text = orjson.dumps({"session": session})
    except orjson.JSONEncodeError:
        return {"model": model}  # nested deeper than can be written; nothing that a caller could use
    if orjson.dumps(secret)[1:-1] in text:
        cleaned: dict[str, Any] = _without(session, secret, handle)
        return cleaned
    return session


def _without(value: Any, secret: str, handle: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, handle)
    if isinstance(value, dict):
        return {name.replace(secret, handle): _without(item, secret, handle) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, secret, handle) for item in value]
    return value
