"""The model of a handle, in lines that are easy to trust. The state machine compares the service with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.support.api import Reply
from tests.support.handles import claims_of

# The errors that the model foresees.
STATUS: Final = {
    "invalid_handle": 401,
    "handle_expired": 401,
    "handle_revoked": 401,
    "handle_spent": 409,
    "outcome_unknown": 502,
}


@dataclass(eq=False)
class Kept:
    """What is known of an offer: its answer, None where that was lost, and the key that sealed it.

    ``on_record``: the store has not forgotten the call. ``ended``: it was hung up.
    """

    reply: Reply | None
    seal: int
    on_record: bool = True
    ended: bool = False

    @property
    def call_id(self) -> str:
        assert self.reply is not None
        return self.reply.headers["location"].rpartition("/")[2]


@dataclass(eq=False)
class Handle:
    """The model of a handle. ``key`` is the number of the key that signed and sealed it."""

    text: str
    limit: int
    key: int
    used: int = 0
    gone: bool = False
    revoked: bool = False
    offers: dict[bytes, Kept] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(claims_of(self.text)["jti"])

    @property
    def left(self) -> int:
        """Calls that it is good for still; many where there is no limit."""
        return self.limit - self.used if self.limit else 1000

    @property
    def state(self) -> str:
        return "revoked" if self.revoked else "live" if self.left > 0 else "spent"

    def foresee(self, offer: bytes, ring: Sequence[int]) -> str:
        """What a relay comes to at a replica with this ring: ``won``, ``again`` or an error's code."""
        kept = self.offers.get(offer)
        if self.key not in ring:
            return "invalid_handle"
        if self.gone:
            return "handle_expired"
        if self.revoked:
            return "handle_revoked"
        if kept is not None:
            return "again" if kept.reply is not None and kept.seal in ring else "outcome_unknown"
        return "won" if self.left > 0 else "handle_spent"
