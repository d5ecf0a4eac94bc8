"""Which limits a handle's calls have. The handle tells, sealed, so that a claim needs one round trip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import CallSecondsSpent, CloakroomError, TooManyCalls
from app.handles.sealing import Sealer, UnsealError
from app.models import CallLimits, Client, HandleClaims, Offer
from app.store import keys
from app.store.records.seats import DAY_SECONDS, Full, Seat, seating, subject_digest
from app.store.scripts import ScriptCall

_PURPOSE = "handle-owner"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A seat that an offer needs, and its limits. ``seconds`` is how long its call may last, 0: no limit."""

    seat: Seat
    limits: CallLimits
    seconds: int

    def taking(self, *, nonce: str, hold: float) -> ScriptCall:
        """The script that takes it for ``hold`` seconds."""
        return seating(self.seat, self.limits, nonce=nonce, hold=hold, seconds=self.seconds)

    def lasting(self, granted: int) -> int:
        """After how many seconds the call is hung up, where the store granted so many; 0: never."""
        return granted if self.seconds or self.limits.by_day else 0


class Allowance:
    """The limits of the configured clients, and the seal over who has which.

    Args:
        clients: by name.
    """

    def __init__(self, sealer: Sealer, clients: Mapping[str, Client]) -> None:
        self._sealer = sealer
        self._clients = clients

    def owner(self, client: Client, subject: str, handle_id: str, *, seconds: int) -> str:
        """What a handle carries; "" for a client whose calls have no limits.

        ``seconds`` is how long a call may last, 0 for no limit.
        """
        if not client.call_limits.any:
            return ""
        text = f"{client.name}\n{subject_digest(subject)}\n{seconds}"
        return self._sealer.seal(text.encode(), _PURPOSE, handle_id)

    def wanted(self, handle: HandleClaims, offer: Offer, *, now: float) -> Wanted | None:
        """The seat that this offer needs; None where its client's calls have no limits (any more).

        ``now`` is epoch seconds.
        """
        if not handle.owner:
            return None
        try:
            text = self._sealer.unseal(handle.owner, _PURPOSE, handle.id).decode()
        except UnsealError:
            # The record was sealed with the same ring, and cannot be opened either: the relay says so.
            return None
        name, subject, seconds = text.split("\n")
        client = self._clients.get(name)
        if client is None or not client.call_limits.any:
            return None
        seat = Seat(name, subject, keys.offer_digits(handle.id, offer.sha256), int(now) // DAY_SECONDS)
        return Wanted(seat, client.call_limits, int(seconds))


def refusal(full: Full, *, now: float) -> CloakroomError:
    """The error for a call that would be too much. ``now`` is epoch seconds."""
    whose = "This client" if full.limit.startswith("client") else "This user"
    if full.limit in ("client", "subject"):
        return TooManyCalls(
            f"{whose} has as many calls open as it may. End one of them, or try again when one is over.",
            retry_after=max(math.ceil(full.wait), 1),
        )
    return CallSecondsSpent(
        f"{whose} has used the time for calls of today. There is more after midnight UTC.",
        retry_after=DAY_SECONDS - int(now) % DAY_SECONDS,
    )
