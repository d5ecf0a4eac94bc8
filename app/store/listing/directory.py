"""Handles for operators: list, show, count, revoke. Each call does a bounded piece of work.

Nothing here is on the request path, and no command blocks the server: a page of the index is read, then the
records that it names, some hundreds at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from app.models import MAX_KEY_SECONDS
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION, knows_version, number_of, version_of
from app.store.listing.index import EXAMINED_AT_MOST, Walk
from app.store.listing.views import Alive, HandleFilter, HandleView, Page, RelayNote, Revoked
from app.store.records.bearers import unpacked
from app.store.records.calls import CallStore
from app.store.scripts import REVOKE

MAX_PAGE: Final = 1000
# Handles that one call of the script revokes: a fraction of a millisecond of the server's time.
_REVOKED_AT_ONCE: Final = 100
RELAYS_KEPT: Final = 20
# No relay is under way for longer: two minutes for the provider's answer at most, one more for an answer that
# comes late, and one until the store has taken it.
RELAYED_SECONDS: Final = 240
# Replicas with a larger difference between their clocks refuse each other's handles.
_CLOCK_MARGIN_MINUTES: Final = 5

# Text that the records of every version have.
_WHO: Final = ("model", "deployment", "provider", "family", "client", "subject", "origin", "minted_by")
_FIELDS: Final = (
    "v",
    *_WHO,
    "minted_at",
    "expires_at",
    "region",
    "max_calls",
    "max_call_seconds",
    "bind_origin",
    "bind_fingerprint",
    "used_origin",
    "used_fingerprint",
    "calls",
    "last_call_at",
    "last_call_by",
    "revoked_at",
    "revoked_by",
    "calls_revoked_by",
    "refusals",
    "last_refusal",
    "suspicions",
    "suspected_at",
    "suspicion",
    "relays",
)
_STORY: Final = tuple(f"relay_{number}" for number in range(1, RELAYS_KEPT + 1))

# ``newer``: a newer release wrote the record, and nothing was changed.
Revocation = Literal["revoked", "already", "gone", "newer"]


class HandleDirectory:
    """The handles in the store, as an operator asks for them.

    Every method raises ``StoreUnavailable`` when the store does not answer.
    """

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def get(self, handle_id: str) -> HandleView | None:
        """A handle with the outcomes of its relays; None when it expired, or never existed."""
        values, life = await self._connection.run_together(
            ("HMGET", keys.handle(handle_id), *_FIELDS, *_STORY), ("PTTL", keys.handle(handle_id))
        )
        return _read(handle_id, values, life)

    async def page(
        self, wanted: HandleFilter, *, now: float, cursor: str | None = None, limit: int = 100
    ) -> Page[HandleView]:
        """The next handles that match, latest expiry first, without the outcomes of their relays.

        Args:
            now: epoch seconds.
            cursor: ``next_cursor`` of the page before.
            limit: 1 to ``MAX_PAGE``.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        walk = self._walk(wanted, now)
        return await walk.page(self._read, matches=wanted.matches, cursor=cursor, limit=limit)

    async def count(self, wanted: HandleFilter, *, now: float) -> int:
        """How many handles the index names for this client, model or subject (the narrowest that is given).

        Exact to the minute: handles that expired within this minute are counted, and so are revoked ones. For
        a subject it is an upper bound, since subjects share lists.
        """
        walk = self._walk(wanted, now)
        return await replace(walk, oldest=int(now) // keys.MINUTE_SECONDS).count()

    async def revoke(self, handle_id: str, *, by: str, now: float, calls: bool = False) -> Revocation:
        """Revoke one handle: from now on no replica relays an offer with it.

        ``calls``: a call that is being relayed ends once it is on record. ``CallStops`` ends the others.
        """
        args = (int(now), by, RECORD_VERSION, _with_calls(calls))
        counts: list[int] = await self._connection.run_script(REVOKE, _pairs([handle_id]), *args)
        await self._no_longer_live([handle_id])
        outcomes: tuple[Revocation, ...] = ("revoked", "already", "gone", "newer")
        return outcomes[counts.index(1)]

    async def revoke_page(
        self, wanted: HandleFilter, *, by: str, now: float, cursor: str | None = None, calls: bool = False
    ) -> Revoked:
        """Revoke the next handles that match; call again with ``next_cursor`` until that is None.

        ``wanted.state`` is not looked at: a handle that was revoked before keeps its first revocation.
        ``calls`` is as for ``revoke``.
        """
        walk = self._walk(wanted, now)
        entries = await walk.entries(walk.start(cursor), EXAMINED_AT_MOST)
        ids = list(dict.fromkeys(entry.id for entry in entries))
        args: list[str | int] = [int(now), by, RECORD_VERSION, _with_calls(calls), *_conditions(wanted)]
        groups = [
            group
            for first in range(0, len(ids), _REVOKED_AT_ONCE)
            for group in self._connection.by_slot(ids[first : first + _REVOKED_AT_ONCE])
        ]
        replies = await self._connection.run_scripts(*[(REVOKE, _pairs(group), args) for group in groups])
        await self._no_longer_live(ids)
        return Revoked(
            revoked=sum(reply[0] for reply in replies),
            already=sum(reply[1] for reply in replies),
            newer=sum(reply[3] for reply in replies),
            examined=len(entries),
            next_cursor=str(entries[-1].after) if len(entries) == EXAMINED_AT_MOST else None,
        )

    async def _no_longer_live(self, handle_ids: Sequence[str]) -> None:
        """Those that are revoked do not count any more, where the number of a client's handles is limited."""
        read = [("HMGET", keys.handle(handle_id), "client", "revoked_at") for handle_id in handle_ids]
        revoked = defaultdict(list)
        for handle_id, (client, at) in zip(
            handle_ids, await self._connection.run_together(*read), strict=True
        ):
            if at is not None:
                revoked[client].append(handle_id)
        commands = [("ZREM", keys.live_handles(client), *ids) for client, ids in revoked.items()]
        await self._connection.run_together(*commands)

    def _walk(self, wanted: HandleFilter, now: float) -> Walk:
        minute = int(now) // keys.MINUTE_SECONDS
        longest = MAX_KEY_SECONDS // keys.MINUTE_SECONDS
        return Walk(
            self._connection,
            _lists_for(wanted),
            newest=minute + longest + _CLOCK_MARGIN_MINUTES,
            oldest=minute - _CLOCK_MARGIN_MINUTES,
        )

    async def _read(self, handle_ids: Sequence[str]) -> list[HandleView | None]:
        names = [keys.handle(handle_id) for handle_id in handle_ids]
        replies = await self._connection.run_together(
            *[command for name in names for command in (("HMGET", name, *_FIELDS), ("PTTL", name))]
        )
        return [
            _read(handle_id, values, life)
            for handle_id, values, life in zip(handle_ids, replies[::2], replies[1::2], strict=True)
        ]


async def alive(handles: HandleDirectory, calls: CallStore, *, now: float) -> Alive:
    """Count the handles and calls that are alive, from the lengths of index lists: cheap at any size.

    ``now`` is epoch seconds.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    return Alive(
        handles=await handles.count(HandleFilter(), now=now),
        calls=await calls.count_open(now=now),
    )


def _pairs(handle_ids: Sequence[str]) -> list[str]:
    """The keys of ``revoke.lua``."""
    return [name for handle_id in handle_ids for name in (keys.handle(handle_id), keys.uses(handle_id))]


def _with_calls(calls: bool) -> int | str:
    """The argument of ``revoke.lua`` that says whether calls are to end."""
    return RELAYED_SECONDS * 1000 if calls else ""


def _lists_for(wanted: HandleFilter) -> Callable[[int], str]:
    """The narrowest lists that name every handle that matches."""
    if wanted.subject:
        subject = wanted.subject
        return lambda minute: keys.subject_handles(subject, minute)
    if wanted.client is not None:
        client = wanted.client
        return lambda minute: keys.client_handles(client, minute)
    if wanted.model is not None:
        model = wanted.model
        return lambda minute: keys.model_handles(model, minute)
    return keys.handles


def _conditions(wanted: HandleFilter) -> list[str]:
    pairs = [(name, getattr(wanted, name)) for name in ("client", "subject", "model", "deployment")]
    return [part for name, value in pairs if value is not None for part in (name, value)]


def _read(handle_id: str, values: Sequence[Any], life_ms: int) -> HandleView | None:
    found = dict(zip((*_FIELDS, *_STORY), values, strict=False))
    version = version_of(found["v"])
    # Every record has both. A hash without them is what an operator's HSET left.
    if knows_version(version) and (found["minted_at"] is None or found["expires_at"] is None):
        return None
    who: dict[str, Any] = {name: found[name] or "" for name in _WHO}
    return HandleView(
        id=handle_id,
        **who,
        minted_at=number_of(found["minted_at"]),
        expires_at=number_of(found["expires_at"]),
        life=max(life_ms, 0) / 1000,
        version=version,
        **(_uses(found) if knows_version(version) else {}),
    )


def _uses(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields about uses, refusals, relays and revocation."""
    relays = int(found["relays"] or 0)
    notes = [found.get(f"relay_{number % RELAYS_KEPT + 1}") for number in range(relays)[-RELAYS_KEPT:]]
    text = {name: found[name] or "" for name in _FIELDS}
    return {
        "region": text["region"],
        "max_calls": int(text["max_calls"] or 0),
        "max_call_seconds": number_of(text["max_call_seconds"] or None),
        "bind_origin": text["bind_origin"],
        "bind_fingerprint": unpacked(text["bind_fingerprint"]),
        "used_origin": text["used_origin"],
        "used_fingerprint": unpacked(text["used_fingerprint"]),
        "calls": int(text["calls"] or 0),
        "last_call_at": int(text["last_call_at"]) if text["last_call_at"] else None,
        "last_call_by": text["last_call_by"],
        "revoked_at": int(text["revoked_at"]) if text["revoked_at"] else None,
        "revoked_by": text["revoked_by"],
        "calls_revoked_by": text["calls_revoked_by"],
        "refusals": int(text["refusals"] or 0),
        "last_refusal": _note(text["last_refusal"]) if text["last_refusal"] else None,
        "suspicions": number_of(text["suspicions"] or None),
        "suspected_at": number_of(text["suspected_at"]) if text["suspected_at"] else None,
        "suspicion": text["suspicion"],
        "relays_count": relays,
        "relays": tuple(_note(note) for note in notes if note),
    }


def _note(text: str) -> RelayNote:
    """``<epoch seconds> <outcome>[ <call id>]``, as the scripts write it."""
    at, outcome, *call_id = text.split(" ")
    return RelayNote(int(at), outcome, call_id[0] if call_id else "")
