"""The caller's fault, found before anything is asked of the provider; who is asking, and for what."""

from __future__ import annotations

from app.errors.base import CloakroomError


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


class HostNotAllowed(CloakroomError):
    """The request's ``Host`` is no name of this service (RFC 9110, section 15.5.20)."""

    code, status, type = "host_not_allowed", 421, "invalid_request_error"


class AdminDisabled(CloakroomError):
    """No admin key is configured, so the admin API is closed."""

    code, status, type = "admin_disabled", 403, "permission_error"


class WrongSessionFamily(CloakroomError):
    code, status, type = "wrong_session_family", 403, "permission_error"


class WrongCertificate(CloakroomError):
    """The handle is bound to a certificate, and the offer carries another one, or another one beside it."""

    code, status, type = "wrong_certificate", 403, "permission_error"


class WrongOrigin(CloakroomError):
    """The handle is bound to a page's origin, and the offer comes from another one, or from no page."""

    code, status, type = "wrong_origin", 403, "permission_error"


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
