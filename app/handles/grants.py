"""What a handle stands for, sealed into the one secret field of its record. Pure but for the sealer's nonces.

Usually that is the ephemeral key, as plain bytes. Where the deployment creates calls with its standard
credential, the session is kept beside it, or alone where the provider mints no keys. The two forms are sealed
for different purposes, so that neither can ever be read as the other, and a record that was written before a
change of the setting still opens after it.
"""

from __future__ import annotations

from typing import Final

import orjson

from app.handles.sealing import Sealer, UnsealError
from app.models import Secret, StandardCall, value

KEY_PURPOSE: Final = "ephemeral-key"
CALL_PURPOSE: Final = "ephemeral-key-and-session"


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
    content = {
        "key": key,
        "session": orjson.Fragment(grant.call.session),
        "safety_identifier": grant.call.safety_identifier,
        "model": grant.call.model,
    }
    return sealer.seal(orjson.dumps(content), CALL_PURPOSE, *context)


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


def _open_key(sealer: Sealer, sealed: str, context: tuple[str, ...]) -> Grant:
    return Grant(Secret(sealer.unseal(sealed, KEY_PURPOSE, *context).decode()))


def _open_call(sealer: Sealer, sealed: str, context: tuple[str, ...]) -> Grant:
    content = orjson.loads(sealer.unseal(sealed, CALL_PURPOSE, *context))
    key, session = content["key"], orjson.dumps(content["session"])
    # Older releases kept no model.
    call = StandardCall(session, content["safety_identifier"], content.get("model", ""))
    return Grant(Secret(key) if key is not None else None, call)
