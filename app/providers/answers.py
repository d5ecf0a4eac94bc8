"""Reads what providers answer: minted keys, SDP answers, hang-ups and refusals. Pure.

The readers trust nothing. A status, a header or a body that breaks the contract becomes an error of
``app.errors``, and no byte of it reaches a caller unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeGuard

import orjson

from app.errors import OutcomeUnknown, UpstreamError
from app.models import Answer, Deployment, EphemeralKey, Secret
from app.providers.base import UpstreamResponse, is_call_id
from app.providers.explanations import explain
from app.providers.explanations.rules import Operation
from app.telemetry.redaction import MASK, one_safe_line

# An opaque credential: printable, no spaces, so it can never break out of a header.
_KEY = re.compile(r"[\x21-\x7e]{8,4096}\Z")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_PARAM = re.compile(r"[A-Za-z0-9_.\[\]-]{1,128}\Z")
_SAFE_VALUE = re.compile(r"[A-Za-z0-9 :;,._/=+-]{1,128}\Z")
_NO_SDP_LINE = re.compile(rb"\n(?![a-z]=|\r?\n|\Z)")
# Every byte but control characters other than tab and the ends of lines.
_SDP_BYTES = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)])
_RETRY_SECONDS = re.compile(r"[0-9]{1,5}\Z")
_LONGEST_RETRY_SECONDS: Final = 99_999
# RFC 9110, section 5.6.7: what is sent is IMF-fixdate; the two older forms are dying out.
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z", re.ASCII)
# With a 404: the answer to a hang-up of a call that is not there, and to a sideband's handshake.
_GONE: Final = frozenset({"call_id_not_found"})


def is_key(value: Any) -> TypeGuard[str]:
    """Whether this can be an ephemeral key: printable, of a sane length."""
    return isinstance(value, str) and _KEY.match(value) is not None


def read_ephemeral_key(deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
    """Read ``{value, expires_at, session}`` (OpenAI's "Create client secret"; Azure answers alike)."""
    if response.status not in (200, 201):
        raise read_error(deployment, response, operation="mint", secrets=deployment.held_secrets())
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise UpstreamError("The provider's answer to the mint is no JSON object.")
    value, expires_at, session = body.get("value"), body.get("expires_at"), body.get("session")
    if not is_key(value):
        raise UpstreamError("The provider's answer to the mint holds no usable key.")
    if type(expires_at) is not int:
        raise UpstreamError("The provider's answer to the mint holds no usable expires_at.")
    return EphemeralKey(
        value=Secret(value), expires_at=expires_at, session=session if isinstance(session, dict) else {}
    )


def read_sdp_answer(deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
    """Read a 201 (or 200) with an SDP body; the call id is the last segment of ``Location``.

    Any other 2xx may have created a call too.
    """
    if not 200 <= response.status <= 299:
        held = deployment.held_secrets()
        by_ephemeral_key = key is not None and key not in held
        operation: Operation = "relay" if by_ephemeral_key else "call"
        secrets = (*held, key) if key is not None else held
        raise read_error(deployment, response, operation=operation, secrets=secrets)
    sdp, call_id = response.body, call_id_of(response.headers.get("Location", ""))
    shows_key = key is not None and key.reveal().encode() in sdp
    if response.status not in (200, 201) or not is_sdp_answer(sdp) or shows_key:
        raise OutcomeUnknown(
            "The provider accepted the offer, but its answer is no SDP. A call may exist: do not resend it.",
            call_id=call_id,
        )
    return Answer(sdp=sdp, call_id=call_id)


def is_sdp_answer(sdp: bytes) -> bool:
    """Whether a browser could use an answer: UTF-8 lines of ``x=value`` (RFC 8866) with an audio section."""
    if not sdp.startswith(b"v=0") or b"\nm=audio " not in sdp:
        return False
    if sdp.translate(None, _SDP_BYTES) or _NO_SDP_LINE.search(sdp):
        return False
    try:
        sdp.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def call_id_of(location: str) -> str | None:
    """The last path segment of a provider's ``Location``, or None when it is no call id."""
    call_id = location.partition("?")[0].rstrip("/").rpartition("/")[2]
    return call_id if is_call_id(call_id) else None


def read_error(
    deployment: Deployment,
    response: UpstreamResponse,
    *,
    operation: Operation,
    secrets: tuple[Secret, ...],
) -> UpstreamError:
    """Turn a provider's refusal into our error: its status, code and sentence, without inner detail.

    Where the cause is known, our own sentence says what to change (``explain``). Only a well-formed error
    keeps the provider's status; anything else is a 502. A 401 is told to the deployment, whose token may
    have been revoked.
    """
    if response.status == 401 and operation != "relay":
        # A relay presents the ephemeral key.
        deployment.credential_refused()
    headers = {
        name: value
        for name, value in kept_headers(response.headers).items()
        if not _holds_secret(value, secrets)
    }
    retry_after = retry_seconds(response.headers.get("Retry-After"), response.headers.get("Date"))
    error = _error_object(response)
    if error is None:
        return _unreadable(deployment, response.status, operation, retry_after, headers)
    code = _word(error.get("code"), _CODE, secrets)
    advice = explain(deployment, operation, status=response.status, code=code, message=error["message"])
    message = _message(deployment, response.status, error, secrets)
    return UpstreamError(
        message,
        upstream=(response.status, code),
        param=_word(error.get("param"), _PARAM, secrets),
        retry_after=retry_after,
        headers=headers,
        advice=advice,
    )


def _unreadable(
    deployment: Deployment,
    status: int,
    operation: Operation,
    retry_after: int | None,
    headers: Mapping[str, str],
) -> UpstreamError:
    if not 300 <= status < 400:
        message = f"The provider answered with status {status} and no readable error."
        return UpstreamError(message, retry_after=retry_after, headers=headers)
    return UpstreamError(
        f"The provider answered with a redirect (status {status}), which is never followed.",
        retry_after=retry_after,
        headers=headers,
        advice=explain(deployment, operation, status=status, code=None, message=""),
    )


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a refusal: the provider's rate-limit headers and request id, where their values are plain."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if not _SAFE_VALUE.match(value):
            continue
        if lowered.startswith("x-ratelimit-") and _CODE.match(lowered):
            kept[lowered] = value
        elif lowered in ("x-request-id", "apim-request-id"):
            kept["x-upstream-request-id"] = value
    return kept


def retry_seconds(value: str | None, date: str | None = None) -> int | None:
    """``Retry-After`` in whole seconds, or None when it is absent or not believable.

    One that is a date is read on the provider's clock, which ``date``, the answer's ``Date``, tells.
    """
    if value is None:
        return None
    if _RETRY_SECONDS.match(value):
        return int(value)
    then, now = http_date(value), http_date(date)
    if then is None or now is None or not 0 <= then - now <= _LONGEST_RETRY_SECONDS:
        return None
    return int(then - now)


def http_date(value: str | None) -> float | None:
    """Epoch seconds of a date in the one form that HTTP's senders may write; None for anything else."""
    if value is None or not _HTTP_DATE.match(value):
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None


def _error_object(response: UpstreamResponse) -> dict[str, Any] | None:
    if not 400 <= response.status <= 599:
        return None
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict):
        return None
    # Azure's front door has another form, {"statusCode", "message"}, and Model Studio {"code", "message"}.
    flat = body.get("statusCode") == response.status or ("error" not in body and "code" in body)
    error = body if flat else body.get("error")
    return error if isinstance(error, dict) and isinstance(error.get("message"), str) else None


def _word(value: Any, form: re.Pattern[str], secrets: tuple[Secret, ...]) -> str | None:
    """A code or a field's name; None where it has another form or contains a key."""
    if not isinstance(value, str) or not form.match(value) or _holds_secret(value, secrets):
        return None
    return value


def _holds_secret(text: str, secrets: tuple[Secret, ...]) -> bool:
    return any(secret.reveal() in text for secret in secrets)


def _message(deployment: Deployment, status: int, error: dict[str, Any], secrets: tuple[Secret, ...]) -> str:
    if status in (401, 403):
        # The provider's sentence quotes part of the key.
        return f"The provider refused the credential that deployment '{deployment.name}' presented."
    if status >= 500:
        return f"The provider failed with status {status}."
    text: str = error["message"]
    for secret in secrets:
        text = text.replace(secret.reveal(), MASK)
    return one_safe_line(text)


def read_hangup(deployment: Deployment, response: UpstreamResponse, *, gone: frozenset[str] = _GONE) -> bool:
    """Return True if the provider ended the call, False if it knows no such call (any more).

    ``gone`` are the codes that say so, with a 404.

    Source: OpenAI's API reference, "Hang up call": 200 with nothing to read.

    Raises:
        UpstreamError: anything else. A 404 with another code is about a path or a deployment, not about the
            call.
    """
    if 200 <= response.status <= 299:
        return True
    error = read_error(deployment, response, operation="hangup", secrets=deployment.held_secrets())
    if _says_gone(error, gone):
        return False
    raise error


def read_no_sideband(
    deployment: Deployment, response: UpstreamResponse, *, gone: frozenset[str] = _GONE
) -> UpstreamError | None:
    """Return the provider's refusal of a sideband, or None where it knows no such call (any more)."""
    error = read_error(deployment, response, operation="sideband", secrets=deployment.held_secrets())
    return None if _says_gone(error, gone) else error


def _says_gone(error: UpstreamError, codes: frozenset[str]) -> bool:
    return error.upstream_status == 404 and error.upstream_code in codes
