"""What a provider is to us: pure functions that build a request and read an answer. No I/O here.

The readers trust nothing: a status, a header or a body that is not of the contract becomes an error of
``app.errors``, and no byte of it reaches a caller unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeGuard
from urllib.parse import SplitResult, urlsplit

import orjson

from app.errors import OutcomeUnknown, UpstreamError
from app.models import Answer, Deployment, EphemeralKey, MintRequest, Offer, Secret
from app.providers.explanations import Operation, explain
from app.telemetry.redaction import MASK, one_safe_line

SDP_TYPE: Final = "application/sdp"
JSON_TYPE: Final = "application/json"

# An opaque credential: printable, no spaces, so it can never break out of a header.
_KEY = re.compile(r"[\x21-\x7e]{8,4096}\Z")
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
# A name, an IPv4 or an IPv6 address; names in other scripts are pasted in their ASCII form.
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}\Z")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_PARAM = re.compile(r"[A-Za-z0-9_.\[\]-]{1,128}\Z")
_SAFE_VALUE = re.compile(r"[A-Za-z0-9 :;,._/=+-]{1,128}\Z")
_NO_SDP_LINE = re.compile(rb"\n(?![a-z]=|\r?\n|\Z)")
# Every byte but control characters other than tab and the ends of lines.
_SDP_BYTES = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)])
_RETRY_SECONDS = re.compile(r"[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One POST to a provider. ``headers`` hold a credential, so they are not shown."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """What came back: ``headers`` are case-insensitive, ``body`` is whole and within the size limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Provider(Protocol):
    """The seven functions that a provider's file has."""

    def base_url(self, pasted: str | None) -> str:
        """Reduce what an operator pasted to the URL where ``/realtime/...`` begins.

        Raises:
            ValueError: it is no URL of this provider; says what is expected.
        """

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        """The request that mints an ephemeral key for this session."""

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        """Read the minted key.

        Raises:
            UpstreamError: the provider refused, or answered with something else.
        """

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        """The request that presents the offer with the ephemeral key."""

    def read_answer(self, deployment: Deployment, key: Secret, response: UpstreamResponse) -> Answer:
        """Read the SDP answer; ``key`` is what the offer was presented with.

        Raises:
            UpstreamError: the provider refused; no call was created.
            OutcomeUnknown: it said yes, but with something that is no SDP answer.
        """

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        """The request that ends a call, with the standard credential. It may be sent twice.

        Raises:
            InvalidRequest: this provider has no such request; says what to do instead.
            UpstreamError: there is no credential just now.
        """

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        """Read that the call is over: True when this request ended it, False when it was gone before.

        Raises:
            UpstreamError: the provider refused, or answered with something else; the call may go on.
        """


def http_url(text: str) -> SplitResult | None:
    """Split an http or https URL; None for anything else, or where a user or password stands in it."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    plain = host is not None and _HOST.match(host) is not None and "@" not in parts.netloc
    return parts if plain and parts.scheme in ("http", "https") else None


def standard_key_header(deployment: Deployment, *, key_header: str | None = None) -> dict[str, str]:
    """The header that carries the deployment's standard credential.

    ``key_header`` is where a provider takes a key; without one, and for every token, it is a bearer's.

    Raises:
        UpstreamError: Microsoft Entra ID has given no token.
    """
    if key_header is not None and deployment.api_key is not None:
        return {key_header: deployment.api_key.reveal()}
    return {"Authorization": f"Bearer {deployment.bearer().reveal()}"}


def is_key(value: Any) -> TypeGuard[str]:
    """Whether it may be an ephemeral key: printable, of a sane length."""
    return isinstance(value, str) and _KEY.match(value) is not None


def read_ephemeral_key(deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
    """Read ``{value, expires_at, session}`` (contracts, section 1; Azure answers alike)."""
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


def read_sdp_answer(deployment: Deployment, key: Secret, response: UpstreamResponse) -> Answer:
    """Read a 201 (or 200) with an SDP body; the call id is the last segment of ``Location``.

    Any other 2xx may have created a call just as well.
    """
    if not 200 <= response.status <= 299:
        held = deployment.held_secrets()
        operation: Operation = "call" if key in held else "relay"
        raise read_error(deployment, response, operation=operation, secrets=(*held, key))
    sdp = response.body
    if response.status not in (200, 201) or not _is_sdp_answer(sdp) or key.reveal().encode() in sdp:
        raise OutcomeUnknown(
            "The provider accepted the offer, but its answer is no SDP. A call may exist: do not resend it."
        )
    return Answer(sdp=sdp, call_id=call_id_of(response.headers.get("Location", "")))


def _is_sdp_answer(sdp: bytes) -> bool:
    """Whether a browser could use it: UTF-8 lines of ``x=value`` (RFC 8866) with an audio section."""
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


def is_call_id(text: str) -> bool:
    """Whether this may be a call's id: such text is safe in a path, in a log line and in a Redis key."""
    return _CALL_ID.match(text) is not None


def read_error(
    deployment: Deployment,
    response: UpstreamResponse,
    *,
    operation: Operation,
    secrets: tuple[Secret, ...],
) -> UpstreamError:
    """Turn a provider's refusal into our error: its status, code and sentence, less its inner detail.

    Where the cause can be told, a sentence of ours says what to change (``explain``). Only a well-formed
    error keeps the provider's status; anything else is a 502.
    """
    headers = {
        name: value
        for name, value in kept_headers(response.headers).items()
        if not _holds_secret(value, secrets)
    }
    retry_after = retry_seconds(response.headers.get("Retry-After"))
    error = _error_object(response)
    if error is None:
        return UpstreamError(
            f"The provider answered with status {response.status} and no readable error.",
            retry_after=retry_after,
            headers=headers,
        )
    code = _word(error.get("code"), _CODE, secrets)
    advice = explain(deployment, operation, status=response.status, code=code, message=error["message"])
    message = _message(deployment, response.status, error, secrets)
    return UpstreamError(
        message,
        upstream_status=response.status,
        upstream_code=code,
        param=_word(error.get("param"), _PARAM, secrets),
        retry_after=retry_after,
        headers=headers,
        advice=advice,
    )


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's rate-limit headers and request id, where their values are plain."""
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


def retry_seconds(value: str | None) -> int | None:
    """``Retry-After`` in seconds, or None when it is absent, a date, or not believable."""
    return int(value) if value is not None and _RETRY_SECONDS.match(value) else None


def _error_object(response: UpstreamResponse) -> dict[str, Any] | None:
    if not 400 <= response.status <= 599:
        return None
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict):
        return None
    # Azure's front door refuses in a shape of its own: {"statusCode", "message"}.
    error = body if body.get("statusCode") == response.status else body.get("error")
    return error if isinstance(error, dict) and isinstance(error.get("message"), str) else None


def _word(value: Any, form: re.Pattern[str], secrets: tuple[Secret, ...]) -> str | None:
    """A code or a field's name, or None when it has another form or a key stands in it."""
    if not isinstance(value, str) or not form.match(value) or _holds_secret(value, secrets):
        return None
    return value


def _holds_secret(text: str, secrets: tuple[Secret, ...]) -> bool:
    return any(secret.reveal() in text for secret in secrets)


def _message(deployment: Deployment, status: int, error: dict[str, Any], secrets: tuple[Secret, ...]) -> str:
    if status in (401, 403):
        # The provider's own sentence quotes part of the key that it was given.
        return f"The provider refused the credential that deployment '{deployment.name}' presented."
    if status >= 500:
        return f"The provider failed with status {status}."
    text: str = error["message"]
    for secret in secrets:
        text = text.replace(secret.reveal(), MASK)
    return one_safe_line(text)
