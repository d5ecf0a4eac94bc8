"""Seats: how many calls a client and its subjects have at once, and how many seconds of calls are left today.

A seat is taken in the round trip of the claim, and confirmed in the round trip of its settlement. Should
nobody give it back, it ends by itself: one that was not confirmed after the longest relay, the other ones
when the call may last no longer. Counters are exact over all replicas. Days are those of UTC.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.models import LONGEST_CALL_SECONDS, SHORTEST_CALL_SECONDS, CallLimits
from app.store import keys
from app.store.scripts import SEAT, SEATED, UNSEAT, ScriptCall

DAY_SECONDS: Final = 86_400
_SUBJECT_DIGITS: Final = 32

# Of whom it was too much: calls at once, or seconds of calls today.
Limit = Literal["client", "subject", "client_seconds", "subject_seconds"]


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for the call of one offer. ``subject`` is hashed, "" for none; ``day`` is since the epoch."""

    client: str
    subject: str
    offer: str
    day: int

    @property
    def text(self) -> str:
        """What the call's record keeps, beside its client and its subject."""
        return f"{self.offer}:{self.day}"


@dataclass(frozen=True, slots=True)
class Seated:
    """The call may be made, and last so many seconds. ``new``: the offer had no seat before."""

    seat: Seat
    seconds: int
    new: bool


@dataclass(frozen=True, slots=True)
class Full:
    """No call may be made. ``wait`` is after how many seconds a seat frees itself, 0 where that is not it."""

    limit: Limit
    wait: float = 0.0


def subject_digest(subject: str) -> str:
    """What stands for a subject in keys; "" for none."""
    return hashlib.sha256(subject.encode()).hexdigest()[:_SUBJECT_DIGITS] if subject else ""


def seating(seat: Seat, limits: CallLimits, *, nonce: str, hold: float, seconds: int) -> ScriptCall:
    """The script that takes a seat for ``hold`` seconds, for a call of at most ``seconds``; 0: no limit."""
    args = (
        seat.offer,
        nonce,
        int(hold * 1000),
        seconds or LONGEST_CALL_SECONDS,
        SHORTEST_CALL_SECONDS,
        limits.max_open_calls or 0,
        limits.max_open_calls_per_subject or 0,
        limits.max_call_seconds_per_day or 0,
        limits.max_call_seconds_per_day_per_subject or 0,
    )
    return SEAT, _names(seat), args


def read_seat(seat: Seat, reply: list[Any]) -> Seated | Full:
    """Read the reply of ``seat.lua``."""
    match reply:
        case ["new" | "kept" as how, seconds]:
            return Seated(seat, int(seconds), how == "new")
        case ["client" | "subject" as limit, wait]:
            return Full(limit, int(wait) / 1000)
        case ["client_seconds" | "subject_seconds" as limit]:
            return Full(limit)
        case _:
            raise ValueError("seat.lua and its reader do not belong together")


def confirming(seat: Seat, *, nonce: str, seconds: float) -> ScriptCall:
    """The script for a call that was made and may go on for ``seconds``."""
    names = _names(seat)
    args = (seat.offer, int(seconds * 1000), f"{int(seconds)}:{nonce}")
    return SEATED, (names[0], names[1], *names[3:4]), args


def freeing(seat: Seat, *, nonce: str = "", lasted: int = 0) -> ScriptCall:
    """The script that gives a seat back after a call of ``lasted`` seconds.

    With ``nonce`` only where that claim has it.
    """
    return UNSEAT, _names(seat), (seat.offer, nonce, lasted)


def _names(seat: Seat) -> tuple[str, ...]:
    names = (
        keys.open_calls(seat.client),
        keys.seats(seat.client),
        keys.call_seconds(seat.client, seat.day),
    )
    if not seat.subject:
        return names
    return (
        *names,
        keys.open_calls(seat.client, seat.subject),
        keys.call_seconds(seat.client, seat.day, seat.subject),
    )
