"""Reads the handles, calls and names that an operator gives. What is pasted is never shown. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.providers.base import is_call_id

_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_IN_BRACES: Final = re.compile(r"\{([A-Za-z0-9_-]{22})\}")
# A JWT's header is a JSON object, so it begins with {" whatever CLOAKROOM_HANDLE_PREFIX stands before it.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{5,600}\.([A-Za-z0-9_-]{5,600})\.[A-Za-z0-9_-]{5,600}")
_SPACE_AND_QUOTES: Final = re.compile(r"[\s\"'`\\]+")
# A key or a handle, pasted in the wrong place; it would be sent to the service and into its audit log.
_SECRET: Final = re.compile(
    r"(?:(?:sk|ek|ck|ak|rk|pk|sess)[-_][^\s]{16,}|.*eyJ[A-Za-z0-9_-]{8,}\.|(?:authorization|bearer)\b)",
    re.IGNORECASE,
)
_LONGEST: Final = 8192
_LONGEST_NAME: Final = 256

_NO_HANDLE: Final = (
    "that is not a handle. Give its id of 22 characters, the handle itself (ek_eyJ...), or a pasted "
    "'Authorization: Bearer ...' header."
)
_FOREIGN_JWT: Final = "that token is not a handle of this service: it holds no handle id."
_NO_CALL: Final = (
    "that is not a call id. Give the id that the provider gave (rtc_...), or the Location of the call."
)


@dataclass(frozen=True, slots=True)
class UnverifiedHandle:
    """What a pasted text claims: the id, and from a token its expiry in epoch seconds."""

    id: str
    unverified_expires_at: int | None = None


def read_unverified(pasted: str) -> UnverifiedHandle:
    """Find the handle id in an id, a handle, a header, or a Redis key.

    The signature is not checked: no signing key is at hand, and the id alone opens nothing.

    Raises:
        CliFailure: there is none. The message repeats no part of the text.
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
        CliFailure: there is none. The message repeats no part of the text.
    """
    text = _SPACE_AND_QUOTES.sub("", pasted[:_LONGEST]).removeprefix("Location:")
    call_id = text.removesuffix("/hangup").rstrip("/").rpartition("/")[2]
    if _JWT.search(text):
        raise CliFailure("that is a handle: 'cloakroom handles show' lists its calls.", status=EXIT_REFUSED)
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


class Options(Protocol):
    """A dataclass of a command's options."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def checked_names(choice: Options) -> dict[str, Any]:
    """The options that choose handles, calls or events, as they were given, by their names.

    Raises:
        CliFailure: as ``checked_name``.
    """
    given = asdict(choice)
    for name, value in given.items():
        if isinstance(value, str):
            checked_name(f"--{name}", value)
    return given


def checked_name(option: str, given: str | None) -> str | None:
    """The name of a client, a model or the like, as it was given.

    Raises:
        CliFailure: it is empty, as an unset variable of a script is, or looks like a secret.
    """
    if given is None:
        return None
    if not given or len(given) > _LONGEST_NAME or not given.isprintable():
        raise CliFailure(
            f"{option} must have 1 to {_LONGEST_NAME} printable characters; leave it out if you mean none.",
            status=EXIT_REFUSED,
        )
    if _SECRET.match(given):
        raise CliFailure(
            f"{option} takes a name, and what was given looks like a secret. It was sent nowhere.",
            status=EXIT_REFUSED,
        )
    return given
