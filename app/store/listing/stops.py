"""Ends calls for operators: says on their records who wants it, and makes them due at once.

No provider is asked here. Every replica takes calls that are due and hangs them up. One that is noted while
no replica runs is hung up by the next one that starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from app.models import LONGEST_CALL_SECONDS
from app.store import keys
from app.store.connection import StoreConnection
from app.store.faults import unavailable
from app.store.keys import RECORD_VERSION, knows_version
from app.store.listing.directory import RELAYED_SECONDS, RELAYS_KEPT, HandleDirectory
from app.store.listing.views import CallFilter, HandleFilter, HandleView, Revoked, Stopped
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines
from app.store.records.record import CallRecord
from app.store.scripts import STOP

# Calls that one step notes at most.
MAX_STEP: Final = 1000
# Calls that one call of the script notes: a fraction of a millisecond of the server's time.
_NOTED_AT_ONCE: Final = 100
# A relay writes its outcome to the handle and its call to another node. For so long the call may be missing.
_REGISTERED_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.1
# Before the cursor of a revocation's second part, which is about the calls.
_CALLS: Final = "calls:"

# What became of one call: noted now or before, or why not.
Note = Literal["noted", "already", "ended", "gone", "newer"]
_NOTES: Final[tuple[Note, ...]] = ("noted", "already", "ended", "gone", "newer")


async def stop_calls(
    connection: StoreConnection, call_ids: Sequence[str], *, by: str, now: float
) -> dict[str, Note]:
    """Have these calls hung up now, by any replica. Safe to repeat: a first note stays.

    Args:
        by: the operator's name, for the records.
        now: epoch seconds.

    Raises:
        StoreUnavailable: not all of it was noted.
    """
    ids = list(dict.fromkeys(call_ids))
    args = (int(now), by, RECORD_VERSION)
    groups = [
        group
        for first in range(0, len(ids), _NOTED_AT_ONCE)
        for group in connection.by_slot([keys.call(one) for one in ids[first : first + _NOTED_AT_ONCE]])
    ]
    replies = await connection.run_scripts(*[(STOP, group, args) for group in groups])
    notes = dict(zip(ids, [_NOTES[number - 1] for reply in replies for number in reply], strict=True))
    # Those that were noted before as well: whoever noted them may have died before this.
    due = [call_id for call_id, note in notes.items() if note in ("noted", "already")]
    if due:
        await CallDeadlines(connection).add_all("operator", due, seconds=0)
    return notes


async def settled(connection: StoreConnection, reply: list[Any], call: CallRecord | None, now: float) -> int:
    """What ``settle.lua`` returned for the claim. If the handle was revoked with its calls, this one ends.

    Raises:
        StoreUnavailable: that could not be noted. The settlement may be repeated.
    """
    outcome, revoked_by = reply
    if revoked_by and call is not None:
        notes = await stop_calls(connection, [call.id], by=revoked_by, now=now)
        if notes[call.id] == "gone":
            # The node of its record did not take it yet.
            raise unavailable()
    return int(outcome)


class CallStops:
    """Ends calls, in steps of bounded size.

    Every method raises ``StoreUnavailable`` when the store does not answer. ``now`` is epoch seconds, and
    ``by`` is the operator's name.
    """

    def __init__(self, connection: StoreConnection, calls: CallStore, handles: HandleDirectory) -> None:
        self._connection = connection
        self._calls = calls
        self._handles = handles

    async def step(
        self,
        wanted: CallFilter,
        *,
        by: str,
        now: float,
        cursor: str | None = None,
        dry_run: bool = False,
    ) -> Stopped:
        """End the next calls that match; call again with ``next_cursor`` until that is None.

        ``wanted.state`` is not looked at. Calls that are older than any call lasts are over, and left out.
        ``dry_run``: only find them.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        page = await self._calls.page(
            replace(wanted, state=None), now=now, cursor=cursor, limit=MAX_STEP, back=LONGEST_CALL_SECONDS
        )
        known = [call for call in page.items if knows_version(call.version)]
        open_ids = [call.id for call in known if _may_be_open(call, now)]
        step = Stopped(
            newer=len(page.items) - len(known), examined=page.examined, next_cursor=page.next_cursor
        )
        if dry_run:
            return replace(step, ids=tuple(open_ids))
        return _with_notes(step, await stop_calls(self._connection, open_ids, by=by, now=now))

    async def one(self, call_id: str, *, by: str, now: float) -> Note:
        """End one call."""
        return (await stop_calls(self._connection, [call_id], by=by, now=now))[call_id]

    async def of_handle(self, view: HandleView, *, by: str, now: float) -> Stopped:
        """End the calls of a handle that was revoked with its calls. ``view`` was read after that.

        If the handle made more calls than its record names, this is the first ``step`` of its calls.
        """
        if view.relays_count > RELAYS_KEPT:
            return await self.step(CallFilter(handle=view.id), by=by, now=now)
        made = {note.call_id: note.at for note in view.relays if note.call_id}
        notes = await stop_calls(self._connection, [*made], by=by, now=now)
        loop = asyncio.get_running_loop()
        end = loop.time() + _REGISTERED_SECONDS
        while loop.time() < end:
            missing = [
                one for one, note in notes.items() if note == "gone" and made[one] > now - RELAYED_SECONDS
            ]
            if not missing:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
            notes |= await stop_calls(self._connection, missing, by=by, now=now)
        return _with_notes(Stopped(examined=len(made)), notes)

    async def revoke_step(
        self, wanted: HandleFilter, *, by: str, now: float, cursor: str | None, calls: bool
    ) -> Revoked:
        """Revoke the next handles that match; with ``calls`` then end the calls that match.

        Call again with ``next_cursor`` until that is None. Calls of handles that have expired end, too.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        if calls and cursor is not None and cursor.startswith(_CALLS):
            names = CallFilter(wanted.client, wanted.subject, wanted.model, wanted.deployment)
            stopped = await self.step(names, by=by, now=now, cursor=cursor.removeprefix(_CALLS) or None)
            after = None if stopped.next_cursor is None else f"{_CALLS}{stopped.next_cursor}"
            return Revoked(0, 0, stopped.examined, after, calls=stopped)
        step = await self._handles.revoke_page(wanted, by=by, now=now, cursor=cursor, calls=calls)
        if not calls:
            return step
        return replace(step, next_cursor=step.next_cursor or _CALLS, calls=Stopped())


def _may_be_open(call: CallRecord, now: float) -> bool:
    return call.ended_at is None and now <= call.relayed_at + LONGEST_CALL_SECONDS


def _with_notes(step: Stopped, notes: dict[str, Note]) -> Stopped:
    count = list(notes.values()).count
    ids = tuple(call_id for call_id, note in notes.items() if note in ("noted", "already"))
    return replace(step, ids=ids, noted=count("noted"), newer=step.newer + count("newer"))
