"""What the admin API's refusals mean to the person at the terminal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure
from app.cli.output import printable
from app.telemetry.redaction import one_safe_line

# "No such handle" and "no such call"; a 404 with another code comes from a service without an admin API.
_ABSENT_CODES: Final = frozenset({"handle_not_found", "call_not_found"})
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not 200. ``code`` and ``message`` are empty where the body is no error of ours."""

    status: int
    code: str = ""
    message: str = ""

    @property
    def absent(self) -> bool:
        return self.code in _ABSENT_CODES


def refusal_of(status: int, content: bytes) -> Refusal:
    """Read ``{"error": {"message", "code"}}``; anything else keeps the status alone."""
    try:
        error = orjson.loads(content)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return Refusal(status)
    return Refusal(status, printable(code)[:64], printable(one_safe_line(message, limit=_LONGEST)))


def failure_of(refusal: Refusal, *, base: str) -> CliFailure:
    """The refusal as the command's end: what it was, and what to do."""
    status, said = refusal.status, refusal.message
    if status == 401:
        return CliFailure(
            f"{base} refuses the admin key. CLOAKROOM_ADMIN_KEY, or the file of --admin-key-file, must hold "
            "one of the keys in its CLOAKROOM_ADMIN_KEYS.",
            status=EXIT_UNREACHED,
        )
    if status == 403:
        return CliFailure(f"{base} refuses: {said or 'status 403'}", status=EXIT_UNREACHED)
    if status in (404, 405) or 300 <= status < 400:
        advice = f" It says: {said}" if said else ""
        return CliFailure(
            f"there is no admin API at {base} (status {status}): it answers where CLOAKROOM_ADMIN_KEYS is "
            f"set, and only on CLOAKROOM_OPS_PORT where that is set.{advice}",
            status=EXIT_UNREACHED,
        )
    if status in (400, 413, 415, 422):
        return CliFailure(f"{base} refuses: {said or f'status {status}'}", status=EXIT_REFUSED)
    reason = f"{refusal.code}: {said}" if said else f"status {status}"
    return CliFailure(f"{base} cannot do it now: {reason}", status=EXIT_UNREACHED)
