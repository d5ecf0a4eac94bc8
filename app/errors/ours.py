"""Ours, for now: the same request may work later."""

from __future__ import annotations

from app.errors.base import CloakroomError


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
