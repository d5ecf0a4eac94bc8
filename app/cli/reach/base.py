"""What an operator can do, the same over both ways. Both raise ``CliFailure`` and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from app.store.events import Event
from app.store.listing.views import CallFilter, HandleFilter, HandleView, Page, Revoked, Stopped
from app.store.records.record import CallRecord

if TYPE_CHECKING:
    from app.broker.calls.hangup import Outcome


@dataclass(frozen=True, slots=True)
class HandleStory:
    """A handle, and those of its calls that are still on record, by id."""

    handle: HandleView
    calls: Mapping[str, CallRecord] = field(default_factory=dict)


RevokeOutcome = Literal["revoked", "already_revoked", "gone"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """What became of one handle, and of its calls where they were to end.

    Where ``calls.next_cursor`` is not None, ``Operator.stop_step`` goes on with the calls of this handle.
    """

    outcome: RevokeOutcome
    calls: Stopped | None = None


class Operator(Protocol):
    """A listing looks at a bounded number of records a step, so a short page need not be the last."""

    async def handle(self, handle_id: str) -> HandleStory | None:
        """One handle; None when it expired or never existed."""

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        """The next handles that match, without their relays; ``limit`` 1 to 1000."""

    async def count(self, wanted: HandleFilter) -> int:
        """How many handles the index names: an upper bound, quick at any size.

        Only one of client, subject and model counts, the narrowest that is given.
        """

    async def revoke(self, handle_id: str, *, calls: bool = False) -> Revocation:
        """Revoke one handle at every replica. A record that a newer release wrote is a ``CliFailure``.

        ``calls``: have its calls hung up as well.
        """

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None, calls: bool = False) -> Revoked:
        """Revoke the next handles that match; repeat with ``next_cursor`` until that is None.

        ``calls``: have the calls that match hung up as well.
        """

    async def call(self, call_id: str) -> CallRecord | None:
        """One call; None when it was never relayed here or is no longer kept."""

    async def calls(self, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRecord]:
        """The next calls that match."""

    async def calls_named(self, call_ids: Sequence[str]) -> Mapping[str, CallRecord]:
        """Those of these calls that are on record, by id."""

    async def hang_up(self, call_id: str) -> Outcome | Literal["noted"] | None:
        """End a call at its provider; None when there is no record of it.

        ``noted``: the replicas are going to do it. A record that a newer release wrote is a ``CliFailure``.
        """

    async def stop_step(self, wanted: CallFilter, *, cursor: str | None, dry_run: bool = False) -> Stopped:
        """Have the next open calls that match hung up; repeat with ``next_cursor`` until that is None.

        ``dry_run``: only find them.
        """

    async def keys(self) -> Mapping[str, Any]:
        """Which keys every replica has in force: the document of ``GET /admin/v1/keys``."""

    async def pools(self) -> Mapping[str, Any]:
        """How each model's warm pool stands: the document of ``GET /admin/v1/pools``."""

    def events(self) -> AsyncIterator[Sequence[Event]]:
        """What happens from now on at every replica, in batches; the first is empty and says that it began.

        It never ends by itself. After a lost connection it connects again, with a ``dropped`` event.
        """
