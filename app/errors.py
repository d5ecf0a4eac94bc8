"""The error tree: every failure that a caller can see, with its stable code and status.

A leaf module. Use cases raise these; ``app.web.answers`` alone turns them into an answer.
``docs/errors.md`` explains each code to the person who receives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

NO_HEADERS: Mapping[str, str] = {}


class CloakroomError(Exception):
    """A failure with a stable ``code``, an HTTP ``status`` and a message that is safe to show.

    Args:
        message: one or two plain sentences; never an inner detail, never a secret.
        param: the request field at fault, as OpenAI's errors name it (``session.model``).
        retry_after: seconds after which a new try makes sense; becomes ``Retry-After``.
        headers: further answer headers, already checked to be safe.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    # Whether the same request may be sent again later.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.headers = headers

    @property
    def answer_status(self) -> int:
        """The HTTP status of the answer; a provider's own error overrides the class's."""
        return self.status

    @property
    def answer_code(self) -> str:
        """The ``error.code`` of the answer; a provider's own error overrides the class's."""
        return self.code


class InternalError(CloakroomError):
    """A defect of ours: the log line with the same request id has the detail."""


# --- the caller's fault, found before anything is asked of the provider -------------------------


class InvalidRequest(CloakroomError):
    code, status, type = "invalid_request", 400, "invalid_request_error"


class InvalidOffer(CloakroomError):
    code, status, type = "invalid_offer", 400, "invalid_request_error"


class UnsupportedMediaType(CloakroomError):
    code, status, type = "unsupported_media_type", 415, "invalid_request_error"


class RequestTooLarge(CloakroomError):
    code, status, type = "request_too_large", 413, "invalid_request_error"


class NotFound(CloakroomError):
    code, status, type = "not_found", 404, "invalid_request_error"


class CallNotFound(CloakroomError):
    """No such call, or another caller's: one answer for both, so ids cannot be probed. OpenAI's code."""

    code, status, type = "call_id_not_found", 404, "invalid_request_error"


class CallNotAttachable(CloakroomError):
    """The call is the caller's, but its provider knows none of this id by the standard key."""

    code, status, type = "call_not_attachable", 404, "upstream_error"


class HandleNotFound(CloakroomError):
    """To an operator: the handle expired, or never existed."""

    code, status, type = "handle_not_found", 404, "invalid_request_error"


class UnknownCall(CloakroomError):
    """To an operator, who may see every call: it is no longer on record, or never existed."""

    code, status, type = "call_not_found", 404, "invalid_request_error"


class MethodNotAllowed(CloakroomError):
    code, status, type = "method_not_allowed", 405, "invalid_request_error"


class MethodNotImplemented(CloakroomError):
    """A method that the resource could have, and has for no purpose here (RFC 9725 on PATCH)."""

    code, status, type = "method_not_implemented", 501, "invalid_request_error"


# --- who is asking, and for what ---------------------------------------------------------------


class InvalidApiKey(CloakroomError):
    code, status, type = "invalid_api_key", 401, "authentication_error"


class InvalidToken(CloakroomError):
    code, status, type = "invalid_token", 401, "authentication_error"


class UserNotAllowed(CloakroomError):
    code, status, type = "user_not_allowed", 403, "permission_error"


class InvalidHandle(CloakroomError):
    """The handle is not one of ours. The answer never says why."""

    code, status, type = "invalid_handle", 401, "authentication_error"


class HandleExpired(CloakroomError):
    code, status, type = "handle_expired", 401, "authentication_error"


class HandleRevoked(CloakroomError):
    code, status, type = "handle_revoked", 401, "authentication_error"


class HandleSpent(CloakroomError):
    code, status, type = "handle_spent", 409, "invalid_request_error"


class ModelNotAllowed(CloakroomError):
    code, status, type = "model_not_allowed", 403, "permission_error"


class ModelNotFound(CloakroomError):
    code, status, type = "model_not_found", 404, "invalid_request_error"


class OriginNotAllowed(CloakroomError):
    code, status, type = "origin_not_allowed", 403, "permission_error"


class AdminDisabled(CloakroomError):
    """No admin key is configured, so the admin API is closed."""

    code, status, type = "admin_disabled", 403, "permission_error"


class WrongSessionFamily(CloakroomError):
    code, status, type = "wrong_session_family", 403, "permission_error"


class RateLimited(CloakroomError):
    """Our own limit. A provider's 429 stays an ``UpstreamError`` with the provider's code."""

    code, status, type, retryable = "rate_limited", 429, "rate_limit_error", True


class TooManyCalls(CloakroomError):
    """The client, or its subject, has as many calls at once as it may."""

    code, status, type, retryable = "too_many_calls", 429, "rate_limit_error", True


class CallSecondsSpent(CloakroomError):
    """The client, or its subject, has used its seconds of calls of today."""

    code, status, type = "call_seconds_spent", 429, "rate_limit_error"


class TooManyHandles(CloakroomError):
    """The client has as many handles at once as it may."""

    code, status, type, retryable = "too_many_handles", 429, "rate_limit_error", True


# --- the provider's fault ----------------------------------------------------------------------


class UpstreamError(CloakroomError):
    """The provider answered with an error, or with something that is no answer.

    ``upstream`` is the status and the code of a well-formed error: the answer then keeps both.
    Anything else (HTML, a redirect, garbage) is a plain 502. ``reason`` is what was refused, ``advice``
    what to change; the message is both.
    """

    code, status, type = "upstream_error", 502, "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        upstream: tuple[int, str | None] | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        advice: str | None = None,
    ) -> None:
        whole = message if advice is None else f"{message} {advice}"
        super().__init__(whole, param=param, retry_after=retry_after, headers=headers)
        self.reason = message
        self.advice = advice
        self.upstream_status: int | None = upstream[0] if upstream is not None else None
        self.upstream_code: str | None = upstream[1] if upstream is not None else None

    @property
    def answer_status(self) -> int:
        return self.upstream_status or self.status

    @property
    def answer_code(self) -> str:
        return self.upstream_code or self.code


class UpstreamUnreachable(CloakroomError):
    """No connection was made, so the provider certainly saw nothing."""

    code, status, type, retryable = "upstream_unreachable", 502, "upstream_error", True


class UpstreamUnavailable(CloakroomError):
    """No deployment may be asked now, since they failed too often or asked us to wait. Nothing was sent."""

    code, status, type, retryable = "upstream_unavailable", 503, "upstream_error", True


class UpstreamTimeout(CloakroomError):
    code, status, type = "upstream_timeout", 504, "upstream_error"


class OutcomeUnknown(CloakroomError):
    """The offer may have created a call: never sent again by us, nor blindly by the caller.

    ``call_id`` is the call's, where that much of the provider's answer could be read.
    """

    code, status, type = "outcome_unknown", 502, "upstream_error"

    def __init__(self, message: str, *, call_id: str | None = None, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.call_id = call_id


# --- ours, for now -----------------------------------------------------------------------------


class StoreUnavailable(CloakroomError):
    code, status, type, retryable = "store_unavailable", 503, "server_error", True


class StoreNotReplicated(StoreUnavailable):
    """Too few replicas of the store have the write in time: it would be lost should the primary end now.

    ``nothing_written``: this was known before, so the write was not tried.
    """

    code, status, type, retryable = "store_not_replicated", 503, "server_error", True

    def __init__(
        self,
        message: str,
        *,
        nothing_written: bool = False,
        retry_after: int = 1,
        param: str | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.nothing_written = nothing_written


class SignInUnavailable(CloakroomError):
    code, status, type, retryable = "sign_in_unavailable", 503, "server_error", True


class Overloaded(CloakroomError):
    code, status, type, retryable = "overloaded", 503, "server_error", True


class Draining(CloakroomError):
    code, status, type, retryable = "draining", 503, "server_error", True
