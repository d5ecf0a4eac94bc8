"""What an operator can do, whichever way it is done. Both ways raise ``CliFailure`` and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app.broker.hangup import Outcome
from app.models import CallRecord
from app.store.events import Event
from app.store.views import CallFilter, HandleFilter, HandleView, Page, Revoked


@dataclass(frozen=True, slots=True)
class HandleStory:
    """A handle, and the records of the calls that its relays made, as far as they are still kept."""

    handle: HandleView
    calls: Mapping[str, CallRecord] = field(default_factory=dict)


RevokeOutcome = Literal["revoked", "already_revoked", "gone"]


class Operator(Protocol):
    """Listings look at a bounded number of records a step: a page may be short and yet not the last."""

    async def handle(self, handle_id: str) -> HandleStory | None:
        """One handle; None when it expired or never was."""

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        """The next handles that match, without their relays; ``limit`` 1 to 1000."""

    async def count(self, wanted: HandleFilter) -> int:
        """How many handles the index names: an upper bound, quick at any size. Of ``wanted`` only client,
        subject and model are looked at, the narrowest of them alone.
        """

    async def revoke(self, handle_id: str) -> RevokeOutcome:
        """Revoke one handle at every replica."""

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None) -> Revoked:
        """Revoke the next handles that match; repeat with ``next_cursor`` until that is None."""

    async def call(self, call_id: str) -> CallRecord | None:
        """One call; None when it was never relayed here, or its retention is over."""

    async def calls(self, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRecord]:
        """The next calls that match."""

    async def hang_up(self, call_id: str) -> Outcome | None:
        """End a call at its provider; None when there is no record of it."""

    def events(self) -> AsyncIterator[Sequence[Event]]:
        """What happens from now on at every replica, some at a time; the first, once it is watched, is empty.

        Ends never by itself: what is lost is watched anew, with a ``dropped`` event for the gap.
        """
