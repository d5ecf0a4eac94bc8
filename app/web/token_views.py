"""``POST /oauth/token``: a workload's own token for a client token (RFC 8693).

Its errors are those of OAuth: ``{error, error_description}`` (RFC 6749, section 5.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import hdrs, web

from app.broker.identities import NotExchanged
from app.errors import CloakroomError, InvalidToken, RequestTooLarge, SignInUnavailable
from app.web.addresses import caller_address, counted_as
from app.web.appkeys import EARLY, IDENTITIES, LOG_LINE, TIMINGS, LogLine
from app.web.incoming import read_timed_body

PATH: Final = "/oauth/token"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name of RFC 8693, no secret
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
# Of RFC 6749 only section 4.1.2.1 has a word for it.
_LATER: Final = "temporarily_unavailable"
_ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name of RFC 8693, no secret
# One token, and a few short fields.
_MOST_BYTES: Final = 32_768
_MOST_FIELDS: Final = 256
_FIELDS: Final = frozenset(
    {"grant_type", "subject_token", "subject_token_type", "requested_token_type", "actor_token"}
)


class _Refused(Exception):
    """An error of OAuth: its code, what to say, the status, and after how many seconds to come again."""

    def __init__(
        self, code: str, description: str, *, status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.status = status
        self.retry_after = retry_after


async def exchange(request: web.Request) -> web.Response:
    """Answer 200 with ``{access_token, issued_token_type, token_type, expires_in}``, or OAuth's error."""
    line = LogLine("exchange", request[TIMINGS])
    request[LOG_LINE] = line
    try:
        return await _exchanged(request, line)
    except _Refused as refused:
        line.fields["code"] = refused.code
        response = _answer({"error": refused.code, "error_description": str(refused)}, status=refused.status)
        if refused.retry_after is not None:
            response.headers[hdrs.RETRY_AFTER] = str(refused.retry_after)
        return response


async def _exchanged(request: web.Request, line: LogLine) -> web.Response:
    identities = request.app.get(IDENTITIES)
    if identities is None or not identities.exchanges:
        raise _Refused(
            "unsupported_grant_type",
            "This service exchanges no tokens. Its operator can set issuers to do so.",
        )
    fields = _fields(request, await _body(request))
    try:
        exchanged = await identities.exchange(_subject_token(fields))
    except NotExchanged as refused:
        line.fields |= {"issuer": refused.issuer, "reason": refused.reason}
        error = request.app[EARLY].credentials.judged(
            InvalidToken(str(refused)), lambda: counted_as(caller_address(request))
        )
        if isinstance(error, InvalidToken):
            raise _Refused("invalid_grant", str(refused)) from None
        raise _Refused(_LATER, error.message, status=error.status, retry_after=error.retry_after) from None
    except SignInUnavailable as error:
        raise _Refused(_LATER, error.message, status=503, retry_after=error.retry_after) from None
    token = exchanged.token
    line.fields |= {
        "client": exchanged.client,
        "issuer": exchanged.issuer,
        "subject": exchanged.subject,
        "token": token.id,
        "seconds": token.seconds,
    }
    return _answer(
        {
            "access_token": token.text,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": token.seconds,
        }
    )


async def _body(request: web.Request) -> bytes:
    try:
        return await read_timed_body(request, max_bytes=_MOST_BYTES)
    except CloakroomError as error:
        status = 413 if isinstance(error, RequestTooLarge) else 400
        raise _Refused("invalid_request", error.message, status=status) from None


def _fields(request: web.Request, body: bytes) -> Mapping[str, str]:
    """The fields that are read; each stands in the form once (RFC 6749, section 3.2). Others are ignored."""
    if request.content_type != FORM_TYPE:
        raise _Refused("invalid_request", f"Send the exchange as 'Content-Type: {FORM_TYPE}'.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise _Refused("invalid_request", "The form cannot be read.") from None
    known = [(name, value) for name, value in pairs if name in _FIELDS]
    fields = dict(known)
    if len(fields) != len(known):
        raise _Refused("invalid_request", "A field stands in the form twice.")
    return fields


def _subject_token(fields: Mapping[str, str]) -> str:
    """The workload's token; what else is asked for must be what this exchange gives."""
    if "grant_type" not in fields:
        raise _Refused("invalid_request", "The field grant_type is missing.")
    if fields["grant_type"] != GRANT_TYPE:
        raise _Refused("unsupported_grant_type", f"grant_type must be {GRANT_TYPE}.")
    token = fields.get("subject_token")
    if not token or fields.get("subject_token_type") not in (_JWT, _ID_TOKEN):
        raise _Refused(
            "invalid_request",
            f"subject_token and subject_token_type are needed; the type is {_JWT} or {_ID_TOKEN}.",
        )
    if "actor_token" in fields:
        raise _Refused("invalid_request", "A token of an actor is not taken: send the workload's own.")
    if fields.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, _JWT):
        raise _Refused("invalid_request", f"requested_token_type can only be {ACCESS_TOKEN} or {_JWT}.")
    return token


def _answer(document: Mapping[str, str | int], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
