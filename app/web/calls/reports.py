"""Turns the JSON of a page's report into a ``CallReport``. Pure. Every refusal names the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from app.errors import InvalidRequest
from app.reports import (
    CANDIDATE_TYPES,
    DTLS_STATES,
    ICE_STATES,
    MAX_AFTER_MS,
    MAX_CANDIDATES,
    MICROPHONES,
    OUTCOMES,
    PROTOCOLS,
    CallReport,
    Candidates,
    Outcome,
)

# The longest true report has some 400 bytes.
MAX_REPORT_BYTES: Final = 2048
_WORDS: Final[Mapping[str, Sequence[str]]] = {
    "ice_state": ICE_STATES,
    "dtls_state": DTLS_STATES,
    "protocol": PROTOCOLS,
    "candidate_type": CANDIDATE_TYPES,
    "microphone": MICROPHONES,
}
_FIELDS: Final = ("outcome", "after_ms", *_WORDS, "candidates")
_SIDES: Final = ("local", "remote")


def parse_report(body: Mapping[str, Any]) -> CallReport:
    """Read a report. A field that the browser does not know is left out, never null.

    Raises:
        InvalidRequest: with ``param`` naming the field.
    """
    _only(body, _FIELDS, "")
    for name in ("outcome", "after_ms"):
        if name not in body:
            raise InvalidRequest(f"'{name}' is missing.", param=name)
    words: dict[str, Any] = {
        name: _word(body[name], name, known) for name, known in _WORDS.items() if name in body
    }
    local, remote = _candidates(body["candidates"]) if "candidates" in body else (None, None)
    return CallReport(
        outcome=cast(Outcome, _word(body["outcome"], "outcome", OUTCOMES)),
        after_ms=_number(body["after_ms"], "after_ms", MAX_AFTER_MS),
        local=local,
        remote=remote,
        **words,
    )


def _candidates(value: Any) -> tuple[Candidates, Candidates]:
    sides = _object(value, "candidates")
    _only(sides, _SIDES, "candidates.")
    local, remote = (_counts(sides.get(side), f"candidates.{side}") for side in _SIDES)
    return local, remote


def _counts(value: Any, param: str) -> Candidates:
    counts = _object(value, param)
    _only(counts, CANDIDATE_TYPES, f"{param}.")
    return Candidates(
        **{name: _number(count, f"{param}.{name}", MAX_CANDIDATES) for name, count in counts.items()}
    )


def _object(value: Any, param: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{param}' must be an object.", param=param)
    return value


def _only(found: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    for name in found:
        if name not in known:
            where = f"'{prefix.rstrip('.')}'" if prefix else "A report"
            raise InvalidRequest(
                f"Unknown field. {where} takes {', '.join(known)}.", param=f"{prefix}{name}"[:64]
            )


def _word(value: Any, param: str, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidRequest(f"'{param}' must be one of {', '.join(known)}.", param=param)
    return value


def _number(value: Any, param: str, most: int) -> int:
    if isinstance(value, float) and value.is_integer():
        # JSON has one kind of number, so 60.0 is a whole number too.
        value = int(value)
    # ``type() is`` and not isinstance: JSON's true would pass for 1.
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidRequest(f"'{param}' must be a whole number from 0 to {most}.", param=param)
    return value
