"""Handle records: saved at mint, claimed at relay, in one round trip and one atomic step each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from app.models import CallRecord, Family, HandleRecord
from app.store import keys
from app.store.calls import registering
from app.store.connection import StoreConnection
from app.store.keys import RECORD_VERSION
from app.store.leases import LeaseWatch
from app.store.listing.index import indexing
from app.store.listing.stops import settled
from app.store.replication import Replication
from app.store.scripts import CLAIM, LIMIT, RECORD, SETTLE, ScriptCall

# Between a nonce's random part and the process that made it. No replica's name has this character.
_MADE_BY: Final = "@"
# In the order of ``record.lua``, between the version and the number of calls.
_NAMES: Final = "model deployment provider family client subject origin minted_at expires_at minted_by"
_FIELDS: Final = attrgetter(*_NAMES.split())
# The client's counter outlives its minute a little, for replicas whose clocks differ.
_LIMIT_LIFE_MS: Final = 120_000
# What ``settle.lua`` returns for an answer that came after another outcome was told.
_TOLD: Final = 2


@dataclass(frozen=True, slots=True)
class Won:
    """The claim succeeded: the offer may be sent. ``calls`` counts this use."""

    sealed_key: str = field(repr=False)
    deployment: str
    model: str
    client: str
    subject: str
    expires_at: str
    calls: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The same offer was answered a moment ago: the sealed answer, and the call that it belongs to."""

    call_id: str
    sealed_answer: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """Another relay of the same offer is under way: ask again shortly. ``nonce`` is that one's."""

    nonce: str

    @property
    def holder(self) -> str:
        """The process that relays it; "" for a release that did not say so."""
        return self.nonce.partition(_MADE_BY)[2]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The same offer was sent, and it is not known what became of it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """All uses are taken."""

    max_calls: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """An operator revoked the handle."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such record: it expired, or the store lost it."""


@dataclass(frozen=True, slots=True)
class OtherFamily:
    """The handle was minted for another kind of session."""

    family: str


@dataclass(frozen=True, slots=True)
class NewerVersion:
    """A newer release wrote the record, in a form that this one does not read. Nothing was changed."""

    version: str


Claim = Won | Answered | Pending | Unknown | Spent | Revoked | Gone | OtherFamily | NewerVersion

_UNKNOWN, _REVOKED, _GONE = Unknown(), Revoked(), Gone()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one relay to send one offer with one handle; ``nonce`` tells it from every other try."""

    handle_id: str
    offer_sha256: str
    nonce: str

    @property
    def keys(self) -> tuple[str, str]:
        """The handle's record, and the claim on this offer."""
        return keys.handle(self.handle_id), keys.claim(self.handle_id, self.offer_sha256)


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

    async def count_mint(self, client: str, *, now: float) -> int:
        """Count one mint of this client in the current minute and return the count so far."""
        key = keys.mint_limit(client, int(now // 60))
        args, patient = (_LIMIT_LIFE_MS,), not self.elsewhere
        return int(await self._connection.run_script(LIMIT, (key,), *args, patient=patient))

    async def save(self, record: HandleRecord, *, life: float) -> None:
        """Store a new handle. It expires after ``life`` seconds on the store's clock."""
        life_ms, key = int(life * 1000), keys.handle(record.id)
        fields = (RECORD_VERSION, *_FIELDS(record), record.max_calls or "", record.region)
        stored: ScriptCall = (RECORD, (key,), (life_ms, record.sealed_key, *fields))
        listed = indexing(self._connection, _lists_of(record), record.id, life_ms)
        if self._replication is None:
            # In a Cluster the caller rather takes an id at another node.
            await self._connection.run_first(stored, *listed, patient=not self.elsewhere)
        else:
            await self._replication.run(stored, *listed, undo=("DEL", key))

    def attempt(self, handle_id: str, offer_sha256: str) -> Attempt:
        """A new try, which names this process as the one that relays."""
        nonce = f"{secrets.token_urlsafe(9)}{_MADE_BY}{self._connection.process}"
        return Attempt(handle_id, offer_sha256, nonce)

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
        paths = ",".join(families)
        args = (attempt.nonce, int(pending * 1000), int(now), self._replica, paths, RECORD_VERSION)
        if self._replication is None:
            return _read_claim(await self._connection.run_script(CLAIM, attempt.keys, *args, patient=True))
        reply = await self._connection.run_script(CLAIM, attempt.keys, *args, "ask", patient=True)
        # The use of a handle without a limit waits for no replica.
        if reply[0] in ("limited", "gone"):
            reply = await self._replication.run((CLAIM, attempt.keys, args))
        return _read_claim(reply)

    async def release(self, attempt: Attempt, *, give_back: bool, code: str, now: float) -> None:
        """End a claim without an answer. ``give_back`` only when the offer never reached the provider.

        ``code`` is the error's; the record keeps it. As all settlements, this is safe to repeat.
        """
        args = (attempt.nonce, "", 0, int(give_back), int(now), code, "")
        await self._connection.run_scripts((SETTLE, attempt.keys, args))

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
        window: float,
        retention: float,
        now: float,
    ) -> bool:
        """Keep the answer for ``window`` seconds and register the call for ``retention`` seconds.

        ``call`` is None where the provider named no call. Returns False where an unknown outcome is final and
        may have been told: then the call is lost, and no later relay gets the answer.
        """
        call_id = call.id if call is not None else ""
        value, outcome = f"answered:{call_id}:{sealed_answer}", f"answered {call_id}".rstrip()
        told = f"unknown:{call_id}" if self._unknown_is_final else ""
        args = (attempt.nonce, value, int(window * 1000), 0, int(now), outcome, told)
        reply = await self._connection.run_first(
            (SETTLE, attempt.keys, args), *registering(self._connection, call, retention)
        )
        return await settled(self._connection, reply, call, now) != _TOLD


def _lists_of(record: HandleRecord) -> tuple[str, ...]:
    minute = record.expires_at // keys.MINUTE_SECONDS
    lists = (
        keys.handles(minute),
        keys.client_handles(record.client, minute),
        keys.model_handles(record.model, minute),
    )
    return (*lists, keys.subject_handles(record.subject, minute)) if record.subject else lists


def _read_claim(reply: list[Any]) -> Claim:
    match reply:
        case ["won", sealed_key, deployment, model, client, subject, expires_at, calls]:
            return Won(sealed_key, deployment, model, client, subject, expires_at, int(calls))
        case ["answered", value]:
            call_id, _, sealed = value.partition(":")
            return Answered(call_id=call_id, sealed_answer=sealed)
        case ["pending", nonce]:
            return Pending(nonce)
        case ["unknown"]:
            return _UNKNOWN
        case ["spent", max_calls]:
            return Spent(int(max_calls))
        case ["revoked"]:
            return _REVOKED
        case ["family", family]:
            return OtherFamily(family)
        case ["gone"]:
            return _GONE
        case ["version", version]:
            return NewerVersion(version)
        case _:
            raise ValueError("claim.lua and its reader do not belong together")
