"""The provider's fault."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors.base import NO_HEADERS, CloakroomError


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
