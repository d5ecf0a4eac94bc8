"""What every error has: a code, a status, a message that is safe to show."""

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
