"""What may stand in a label: words of short lists of ours, never what a caller or a provider wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from app.errors import CloakroomError, UpstreamError
from app.telemetry.timings import Try

NONE: Final = "none"
OTHER: Final = "other"

OPERATIONS: Final = ("mint", "relay", "hangup")
# ``other``: health, metrics, pages, the admin API; ``unmatched``: no such path or method.
HANDLERS: Final = (*OPERATIONS, "preflight", OTHER, "unmatched")
STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")

# The provider's own code is free text, its status is not; these are the ones that ask for different action.
_OWN_STATUSES: Final = frozenset({400, 401, 403, 404, 429})
# Why a handle did not open a call, by the code of the answer.
CLAIM_REFUSALS: Final[Mapping[str, str]] = {
    "invalid_handle": "invalid",
    "handle_expired": "expired",
    "handle_revoked": "revoked",
    "handle_spent": "spent",
    "wrong_session_family": "wrong_family",
}
# What the gate says itself, before a mint, relay or hang-up has begun; any other code is possible, and rare.
GATE_CODES: Final = ("overloaded", "origin_not_allowed", "not_found", "method_not_allowed", "internal_error")

_UNAVAILABLE: Final = frozenset({"store_unavailable", "overloaded", "draining"})


def _below(error: type[CloakroomError]) -> Iterator[type[CloakroomError]]:
    yield error
    for child in error.__subclasses__():
        yield from _below(child)


def _outcome(error: type[CloakroomError]) -> str:
    if error.type == "upstream_error":
        return "provider_error"
    if error.code in _UNAVAILABLE:
        return "unavailable"
    return "error" if error.status == 500 else "refused"


# Each code of ours with the outcome that it is counted as.
CODES: Final[Mapping[str, str]] = {
    **{error.code: _outcome(error) for error in _below(CloakroomError)},
    **{f"upstream_{status}": "provider_error" for status in (*sorted(_OWN_STATUSES), "4xx", "5xx")},
}


def code_of(error: CloakroomError) -> str:
    """The label ``code`` of an answer: ours, or the provider's status where the provider refused."""
    if isinstance(error, UpstreamError) and error.upstream_status is not None:
        status = error.upstream_status
        return f"upstream_{status}" if status in _OWN_STATUSES else f"upstream_{status // 100}xx"
    return error.code


def result_of(attempt: Try) -> str:
    """How one request to a provider ended: by its status, or why it has none."""
    status = attempt.status
    if status is None:
        return attempt.outcome
    if status == 429:
        return "rate_limited"
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "failed"


# After these a deployment counts as up: it gave an answer, if not the one that was wished for.
WELL: Final = frozenset({"ok", "refused", "rate_limited"})
