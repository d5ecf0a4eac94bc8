"""Handle records: saved at mint, claimed at relay, in one round trip and one atomic step each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from app.models import Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION
from app.store.leases import LeaseWatch
from app.store.listing.index import indexing
from app.store.listing.stops import settled
from app.store.records.bearers import packed
from app.store.records.claims import (
    HELD_FIELDS,
    MADE_BY,
    Attempt,
    Claim,
    Gone,
    Held,
    Keep,
    NewerVersion,
    Older,
    Pending,
    read_claim,
    read_look,
)
from app.store.records.minting import Admitted, Live, Minting
from app.store.records.record import CallRecord, HandleRecord
from app.store.records.registering import registering
from app.store.replication import Replication
from app.store.scripts import CLAIM, LIVE, LOOK, RECORD, SETTLE, ScriptCall

# In the order of ``record.lua``, between the proof and the number of calls.
_NAMES: Final = "model deployment provider family client subject origin minted_at expires_at minted_by"
_FIELDS: Final = attrgetter(*_NAMES.split())
# What ``settle.lua`` returns for an answer that came after another outcome was told.
_TOLD: Final = 2


class HandleStore:
    """The handles in Redis. Every method raises ``StoreUnavailable`` when the store does not answer.

    Args:
        replication: for what replicas must have before it counts; None where nothing is waited for.
        unknown_is_final: an answer that comes after the outcome was called unknown does not count any more.
    """

    def __init__(
        self,
        connection: StoreConnection,
        *,
        replica: str,
        replication: Replication | None = None,
        unknown_is_final: bool = False,
    ) -> None:
        self._connection = connection
        self._replica = replica
        self._replication = replication
        self._unknown_is_final = unknown_is_final

    @property
    def elsewhere(self) -> bool:
        """Whether another node of the store may take what one did not."""
        return self._connection.elsewhere

    def require_up(self, handle_id: str) -> None:
        """Raise ``StoreUnavailable`` at once while the handle's node is known to be down."""
        self._connection.require_up(keys.handle(handle_id))

    def place(self, make: Callable[[], str]) -> str:
        """Return one of the handle ids that ``make`` returns: one whose node is up, where there is one."""
        return self._connection.place(make, keys.handle)

    def require_savable(self) -> None:
        """Raise ``StoreUnavailable`` at once while it is known that no handle could be saved."""
        self._connection.require_up()
        if self._replication is not None:
            self._replication.require_replicas()

    async def admit(self, minting: Minting, live: Live | None, *, now: float) -> Admitted:
        """Count one mint in the current minute, and its handle among its client's live ones.

        ``live`` is None where their number is not limited. ``now`` is epoch seconds.
        """
        counting = minting.counting(int(now // 60))
        beside = [] if live is None else [_living(minting.client, live.handle_id, live.hold, most=live.most)]
        counts, *lives = await self._connection.run_scripts(counting, *beside, patient=not self.elsewhere)
        wait = int(lives[0][1]) / 1000 if lives and not int(lives[0][0]) else None
        return Admitted(int(counts[0]), int(counts[1]), wait)

    async def forget(self, client: str, handle_id: str) -> None:
        """The handle does not count among the client's live ones."""
        await self._connection.run_together(("ZREM", keys.live_handles(client), handle_id))

    async def save(
        self, record: HandleRecord, *, life: float, counted: bool = False, proof: str = ""
    ) -> None:
        """Store a new handle with its proof. It expires after ``life`` seconds on the store's clock.

        ``counted``: the number of its client's live handles is limited.
        """
        life_ms, key = int(life * 1000), keys.handle(record.id)
        fields = (
            RECORD_VERSION,
            proof,
            *_FIELDS(record),
            record.max_calls or "",
            record.region,
            record.max_call_seconds or "",
            # A handle without a binding, as most are, costs nothing for it.
            *_bound(record),
        )
        stored: ScriptCall = (RECORD, (key,), (life_ms, record.sealed_key, *fields))
        listed = indexing(self._connection, _lists_of(record), record.id, life_ms)
        if counted:
            listed.append(_living(record.client, record.id, life))
        if self._replication is None:
            # In a Cluster the caller rather takes an id at another node.
            await self._connection.run_first(stored, *listed, patient=not self.elsewhere)
        else:
            await self._replication.run(stored, *listed, undo=("DEL", key))

    def attempt(self, handle_id: str, offer_sha256: str, origin: str = "", fingerprint: str = "") -> Attempt:
        """A new try, which names this process as the one that relays."""
        nonce = f"{secrets.token_urlsafe(9)}{MADE_BY}{self._connection.process}"
        return Attempt(handle_id, offer_sha256, nonce, origin, fingerprint)

    async def look(self, handle_id: str) -> Held | Older | Gone | NewerVersion:
        """Look how the handle stands. That spends nothing, and writes nothing."""
        names = (keys.handle(handle_id), keys.uses(handle_id))
        return read_look(await self._connection.run_script(LOOK, names, *HELD_FIELDS))

    def watch_holder(self, pending: Pending, *, monotonic: Callable[[], float]) -> LeaseWatch:
        """Tell when the process that relays this offer has died. ``monotonic`` returns seconds."""
        return LeaseWatch(self._connection, pending.holder, monotonic=monotonic)

    async def claim(
        self, attempt: Attempt, *, families: Sequence[Family], pending: float, now: float
    ) -> Claim:
        """Claim one use for this offer. The same nonce wins again, so a lost reply may be repeated.

        ``pending`` is how long the claim may stay open, in seconds: longer than any relay takes.
        A claim that fails may have been recorded, so the caller releases it.
        """
        args = self._claiming(attempt, families, pending, now)
        ask = () if self._replication is None else ("ask",)
        reply = await self._connection.run_script(CLAIM, attempt.keys, *args, *ask, patient=True)
        return await self._claimed(attempt, args, reply)

    async def claim_seated(
        self, attempt: Attempt, seating: ScriptCall, *, families: Sequence[Family], pending: float, now: float
    ) -> tuple[Claim, Any]:
        """Do the same, and take a seat in the same round trip; also returns the reply of its script."""
        args = self._claiming(attempt, families, pending, now)
        ask = () if self._replication is None else ("ask",)
        claiming: ScriptCall = (CLAIM, attempt.keys, (*args, *ask))
        seated, reply = await self._connection.run_scripts(seating, claiming, patient=True)
        return await self._claimed(attempt, args, reply), seated

    def _claiming(
        self, attempt: Attempt, families: Sequence[Family], pending: float, now: float
    ) -> tuple[str | int, ...]:
        paths = ",".join(families)
        times = (int(pending * 1000), int(now))
        return (attempt.nonce, *times, self._replica, paths, RECORD_VERSION, *attempt.bearer)

    async def _claimed(self, attempt: Attempt, args: tuple[str | int, ...], reply: Any) -> Claim:
        # The use of a handle without a limit waits for no replica.
        if self._replication is not None and reply[0] in ("limited", "gone"):
            reply = await self._replication.run((CLAIM, attempt.keys, args))
        return read_claim(reply)

    async def release(
        self, attempt: Attempt, *, give_back: bool, code: str, now: float, beside: Sequence[ScriptCall] = ()
    ) -> None:
        """End a claim without an answer. ``give_back`` only when the offer never reached the provider.

        ``code`` is the error's; the record keeps it. ``beside`` runs in the same round trip. As all
        settlements, this is safe to repeat.
        """
        args = (attempt.nonce, "", 0, int(give_back), int(now), code, "")
        await self._connection.run_scripts((SETTLE, attempt.keys, args), *beside)

    async def free(self, freeing: Sequence[ScriptCall]) -> None:
        """Give seats back (``app.store.records.seats``)."""
        await self._connection.run_scripts(*freeing)

    async def mark_unknown(
        self,
        attempt: Attempt,
        *,
        window: float,
        code: str,
        now: float,
        call: CallRecord | None = None,
        retention: float = 0.0,
    ) -> None:
        """Remember for ``window`` seconds that it is not known what became of this offer.

        ``call`` is one whose id alone became known. It is registered for ``retention`` seconds.
        """
        value, outcome = ("unknown", code) if call is None else (f"unknown:{call.id}", f"{code} {call.id}")
        args = (attempt.nonce, value, int(window * 1000), 0, int(now), outcome, "")
        replies = await self._connection.run_scripts(
            (SETTLE, attempt.keys, args), *registering(self._connection, call, retention)
        )
        await settled(self._connection, replies[0], call, now)

    async def abandon(self, attempt: Attempt, *, window: float, code: str, now: float) -> bool:
        """Do the same for an attempt of a process that died, and return whether it was still pending.

        Should the process live after all, its settlement still counts.
        """
        args = (attempt.nonce, f"unknown:{attempt.nonce}", int(window * 1000), 0, int(now), code, "")
        return bool((await self._connection.run_script(SETTLE, attempt.keys, *args))[0])

    async def settle(
        self,
        attempt: Attempt,
        sealed_answer: str,
        call: CallRecord | None,
        *,
        keep: Keep,
        now: float,
        age: float = 0.0,
    ) -> bool:
        """Keep the answer and register the call.

        ``age`` is how long the call has lasted, in seconds.
        ``call`` is None where the provider named no call. Returns False where an unknown outcome is final and
        may have been told: then the call is lost, and no later relay gets the answer.
        """
        call_id = call.id if call is not None else ""
        value, outcome = f"answered:{call_id}:{sealed_answer}", f"answered {call_id}".rstrip()
        told = f"unknown:{call_id}" if self._unknown_is_final else ""
        args = (attempt.nonce, value, int(keep.window * 1000), 0, int(now), outcome, told)
        reply = await self._connection.run_first(
            (SETTLE, attempt.keys, args), *registering(self._connection, call, keep.retention, age=age)
        )
        return await settled(self._connection, reply, call, now) != _TOLD


def _bound(record: HandleRecord) -> tuple[str, ...]:
    if not record.bind_origin and not record.bind_fingerprint:
        return ()
    return record.bind_origin, packed(record.bind_fingerprint)


def _living(client: str, handle_id: str, seconds: float, *, most: int = 0) -> ScriptCall:
    return LIVE, (keys.live_handles(client),), (handle_id, int(seconds * 1000), most)


def _lists_of(record: HandleRecord) -> tuple[str, ...]:
    minute = record.expires_at // keys.MINUTE_SECONDS
    lists = (
        keys.handles(minute),
        keys.client_handles(record.client, minute),
        keys.model_handles(record.model, minute),
    )
    return (*lists, keys.subject_handles(record.subject, minute)) if record.subject else lists
