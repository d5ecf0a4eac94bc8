"""Reads what an operator pastes for a handle or a call. Nothing of it is verified, sent or shown. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.providers.base import is_call_id

_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_IN_BRACES: Final = re.compile(r"\{([A-Za-z0-9_-]{22})\}")
# A JWT's header is a JSON object, so it begins with {" whatever CLOAKROOM_HANDLE_PREFIX stands before it.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{5,600}\.([A-Za-z0-9_-]{5,600})\.[A-Za-z0-9_-]{5,600}")
_SPACE_AND_QUOTES: Final = re.compile(r"[\s\"'`\\]+")
_LONGEST: Final = 8192

_NO_HANDLE: Final = (
    "that is no handle. Give its id of 22 characters, the handle itself (ek_eyJ...), or a pasted "
    "'Authorization: Bearer ...' header."
)
_FOREIGN_JWT: Final = "that token is no handle of this service: it has no id of ours in it."
_NO_CALL: Final = (
    "that is no call id. Give it as the provider named it (rtc_...), or the Location of the call."
)


@dataclass(frozen=True, slots=True)
class UnverifiedHandle:
    """What a pasted text claims: the id to ask for, and epoch seconds of the expiry where a token told it."""

    id: str
    unverified_expires_at: int | None = field(default=None)


def read_unverified(pasted: str) -> UnverifiedHandle:
    """Find the handle id in an id, a handle, a header, or a Redis key.

    The signature is not looked at: no signing key is at hand, and the id alone opens nothing.

    Raises:
        CliFailure: there is none; the message repeats nothing of the text.
    """
    text = _SPACE_AND_QUOTES.sub("", pasted[:_LONGEST])
    token = _JWT.search(text)
    if token is not None:
        return _from_payload(token[1])
    bare = text.removeprefix("{").removesuffix("}")
    if _ID.match(bare):
        return UnverifiedHandle(bare)
    in_braces = _IN_BRACES.search(text)
    if in_braces is not None:
        return UnverifiedHandle(in_braces[1])
    raise CliFailure(_NO_HANDLE, status=EXIT_REFUSED)


def read_call_id(pasted: str) -> str:
    """Find the call id in an id, or in the ``Location`` of a relay.

    Raises:
        CliFailure: it cannot be one; the message repeats nothing of the text.
    """
    text = _SPACE_AND_QUOTES.sub("", pasted[:_LONGEST]).removeprefix("Location:")
    call_id = text.removesuffix("/hangup").rstrip("/").rpartition("/")[2]
    if _JWT.search(text):
        raise CliFailure("that is a handle: 'cloakroom handles show' tells its calls.", status=EXIT_REFUSED)
    if not is_call_id(call_id):
        raise CliFailure(_NO_CALL, status=EXIT_REFUSED)
    return call_id


def _from_payload(unverified_payload: str) -> UnverifiedHandle:
    try:
        text = base64.urlsafe_b64decode(unverified_payload + "=" * (-len(unverified_payload) % 4))
        claims: Any = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        raise CliFailure(_FOREIGN_JWT, status=EXIT_REFUSED) from None
    handle_id = claims.get("jti") if isinstance(claims, dict) else None
    if not isinstance(handle_id, str) or not _ID.match(handle_id):
        raise CliFailure(_FOREIGN_JWT, status=EXIT_REFUSED)
    expires_at = claims.get("exp")
    return UnverifiedHandle(handle_id, expires_at if type(expires_at) is int else None)
