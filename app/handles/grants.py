"""What a handle stands for, sealed into the one secret field of its record. Pure but for the sealer's nonces.

Usually that is the ephemeral key, as plain bytes. Where the deployment creates calls with its standard
credential, the session is kept beside it, or alone where the provider mints no keys. The two forms are sealed
for different purposes, so that neither can ever be read as the other, and a record that was written before a
change of the setting still opens after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.handles.sealing import Sealer, UnsealError
from app.models import Secret, StandardCall, value

KEY_PURPOSE: Final = "ephemeral-key"
CALL_PURPOSE: Final = "ephemeral-key-and-session"
POOL_PURPOSE: Final = "pooled-key"


@value
class Grant:
    """The ephemeral key, and what creating the call with the standard credential needs, or one of the two."""

    key: Secret | None
    call: StandardCall | None = None


def seal_grant(sealer: Sealer, grant: Grant, *context: str) -> str:
    """Seal for this context: handle id, client and expiry."""
    key = grant.key.reveal() if grant.key is not None else None
    if grant.call is None:
        if key is None:
            raise ValueError("a grant has a key or a call")
        return sealer.seal(key.encode(), KEY_PURPOSE, *context)
    return sealer.seal(orjson.dumps({"key": key, **_call_content(grant.call)}), CALL_PURPOSE, *context)


def open_grant(sealer: Sealer, sealed: str, *context: str, with_call: bool) -> Grant:
    """Open what ``seal_grant`` made. ``with_call``: whether a session is expected; it is only tried first.

    Raises:
        UnsealError: another key, another record, or not one of ours.
    """
    forms = (_open_call, _open_key) if with_call else (_open_key, _open_call)
    try:
        return forms[0](sealer, sealed, context)
    except UnsealError:
        return forms[1](sealer, sealed, context)


def seal_pooled(sealer: Sealer, grant: Grant, session: Mapping[str, Any], *context: str) -> str:
    """Seal a grant that has no handle yet, with the session as the provider has it, for this context.

    Raises:
        ValueError: the session cannot be written, or there is no key.
    """
    if grant.key is None:
        raise ValueError("a pool keeps keys")
    call = _call_content(grant.call) if grant.call is not None else None
    try:
        content = orjson.dumps({"key": grant.key.reveal(), "session": session, "call": call})
    except orjson.JSONEncodeError:
        raise ValueError("the session is nested too deeply") from None
    return sealer.seal(content, POOL_PURPOSE, *context)


def open_pooled(sealer: Sealer, sealed: str, *context: str) -> tuple[Grant, Mapping[str, Any]]:
    """Open what ``seal_pooled`` made.

    Raises:
        UnsealError: another key, another context, or not one of ours.
    """
    content = orjson.loads(sealer.unseal(sealed, POOL_PURPOSE, *context))
    call = _read_call(content["call"]) if content["call"] is not None else None
    return Grant(Secret(content["key"]), call), content["session"]


def _open_key(sealer: Sealer, sealed: str, context: tuple[str, ...]) -> Grant:
    return Grant(Secret(sealer.unseal(sealed, KEY_PURPOSE, *context).decode()))


def _open_call(sealer: Sealer, sealed: str, context: tuple[str, ...]) -> Grant:
    content = orjson.loads(sealer.unseal(sealed, CALL_PURPOSE, *context))
    key = content["key"]
    return Grant(Secret(key) if key is not None else None, _read_call(content))


def _call_content(call: StandardCall) -> dict[str, Any]:
    return {
        "session": orjson.Fragment(call.session),
        "safety_identifier": call.safety_identifier,
        "model": call.model,
    }


def _read_call(content: Mapping[str, Any]) -> StandardCall:
    # Older releases kept no model.
    return StandardCall(
        orjson.dumps(content["session"]), content["safety_identifier"], content.get("model", "")
    )
