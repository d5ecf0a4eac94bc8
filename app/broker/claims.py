"""An offer's claim on its handle: won before the provider is asked, and settled by what came of it.

A claim carries its own nonce, so it may be repeated after a lost reply, and two replicas never both win the
last use. A use is given back only when the offer provably did not reach the provider.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from app.broker.allowance import Allowance, Wanted, refusal
from app.broker.outcomes import ANSWER_PURPOSE, UNKNOWN_MESSAGE, Claim, Outcomes, RelayPolicy
from app.broker.security.bearers import event_of
from app.broker.security.events import SecurityLog, record_refused
from app.broker.settlement import Write
from app.broker.upgrades import newer_release
from app.errors import (
    CloakroomError,
    Draining,
    HandleExpired,
    HandleRevoked,
    HandleSpent,
    InvalidHandle,
    OutcomeUnknown,
    StoreNotReplicated,
    StoreUnavailable,
    WrongCertificate,
    WrongOrigin,
    WrongSessionFamily,
)
from app.handles.bindings import fingerprints_of, first_fingerprint
from app.handles.sealing import Sealer, UnsealError
from app.handles.tokens import has_proof, is_bound
from app.models import Answer, Clocks, HandleClaims, Offer, Sender
from app.store.records.claims import (
    Answered,
    Attempt,
    Gone,
    Held,
    NewerVersion,
    Older,
    OtherCertificate,
    OtherFamily,
    OtherOrigin,
    Pending,
    Refused,
    Revoked,
    Spent,
    Unknown,
    Won,
)
from app.store.records.claims import Claim as Result
from app.store.records.handles import HandleStore
from app.store.records.seats import Full, Seated, freeing, read_seat
from app.store.scripts import ScriptCall
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.relay")

# A claim stays pending this much longer than the longest relay; then it is up for grabs again.
_PENDING_MARGIN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


@dataclass(slots=True)
class _Ask:
    """An attempt with its offer, the seat that it wants, and what came of that. ``took``: it has one now."""

    attempt: Attempt
    offer: Offer
    wanted: Wanted | None
    seated: Seated | Full | None = None
    took: bool = False

    def seat(self, seated: Seated | Full) -> None:
        self.seated = seated
        self.took = self.took or (isinstance(seated, Seated) and seated.new)

    @property
    def freeing(self) -> list[ScriptCall]:
        """The scripts that give the seat back, should this attempt have it."""
        return [] if self.wanted is None else [freeing(self.wanted.seat, nonce=self.attempt.nonce)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Wins claims; ``outcomes`` settles them, and ``security`` is told of what no honest caller does."""

    store: HandleStore
    sealer: Sealer
    outcomes: Outcomes
    allowance: Allowance
    policy: RelayPolicy
    security: SecurityLog
    clocks: Clocks

    async def win(
        self, handle: HandleClaims, offer: Offer, sender: Sender, timings: Timings
    ) -> Claim | Answer:
        """Claim one use, or return the answer to the same offer, which is waited for while it is under way.

        Raises:
            HandleExpired, HandleRevoked, HandleSpent, WrongSessionFamily, WrongCertificate, WrongOrigin: no
                use was claimed.
            Draining: nor here; only replicas of a newer release can read the handle's record.
            OutcomeUnknown: the offer was sent before, and its answer is not known.
            StoreUnavailable: the claim could not be made.
            TooManyCalls, CallSecondsSpent: the client, or its subject, may have no more; no use was claimed.
        """
        self.store.require_up(handle.id)
        wanted = self.allowance.wanted(handle, offer, now=self.clocks.now())
        # Only where it matters is the whole offer searched, which takes two per cent of a relay.
        carried = fingerprints_of if is_bound(handle.id) else first_fingerprint
        attempt = self.store.attempt(handle.id, offer.sha256, sender.origin, carried(offer.sdp))
        ask = _Ask(attempt, offer, wanted)
        result = await self._try(ask, timings)
        if isinstance(result, Pending):
            result = await self._wait(ask, result, timings)
        if isinstance(result, Won):
            return await self._seated(ask, result)
        if ask.took:
            await self.outcomes.free(ask.attempt, ask.freeing)
        if isinstance(result, Answered):
            return self._first_answer(ask.attempt, result)
        event = event_of(attempt, result, sender)
        if isinstance(result, Older):
            event = record_refused(handle.id, (result.client, result.subject, result.model), "older")
        if event is not None:
            self.security.report(event)
        raise refused(handle.id, result)

    async def _seated(self, ask: _Ask, won: Won) -> Claim:
        if ask.wanted is None or ask.seated is None:
            return Claim(ask.attempt, won, max_call_seconds=won.max_call_seconds)
        if isinstance(ask.seated, Full):
            error = refusal(ask.seated, now=self.clocks.now())
            await self.outcomes.give_back(Claim(ask.attempt, won), code=error.code)
            raise error
        seconds = ask.wanted.lasting(ask.seated.seconds)
        return Claim(ask.attempt, won, ask.wanted.seat, max_call_seconds=seconds)

    async def _try(self, ask: _Ask, timings: Timings) -> Result:
        started, attempt = self.clocks.monotonic(), ask.attempt
        try:
            return await self._claim(ask)
        except StoreNotReplicated as error:
            if not error.nothing_written:
                await self.outcomes.settlement.write(
                    "release", self._released(ask, error.code), handle=attempt.handle_id
                )
            raise
        except StoreUnavailable as error:
            # The claim may have been recorded and only its reply lost; nothing was sent on it.
            self.outcomes.settlement.write_later(
                "release", self._released(ask, error.code), handle=attempt.handle_id
            )
            raise
        except asyncio.CancelledError:
            # The process is ending, and nothing was sent.
            self.outcomes.settlement.write_soon(
                "release", self._released(ask, Draining.code), handle=attempt.handle_id
            )
            raise
        finally:
            timings.store_took("claim", started, self.clocks.monotonic())

    async def _claim(self, ask: _Ask) -> Result:
        hold, now = self.policy.timeout + _PENDING_MARGIN_SECONDS, self.clocks.now()
        families, attempt, wanted = ask.offer.families, ask.attempt, ask.wanted
        if wanted is None:
            return await self.store.claim(attempt, families=families, pending=hold, now=now)
        seating = wanted.taking(nonce=attempt.nonce, hold=hold)
        result, reply = await self.store.claim_seated(
            attempt, seating, families=families, pending=hold, now=now
        )
        ask.seat(read_seat(wanted.seat, reply))
        return result

    def _released(self, ask: _Ask, code: str) -> Write:
        return self.outcomes.releasing(ask.attempt, give_back=True, code=code, beside=ask.freeing)

    async def _wait(self, ask: _Ask, other: Pending, timings: Timings) -> Result:
        """Wait until another relay of this offer is over, or its process has died, and try again.

        The result is ``Pending`` where neither happens in the time of a relay.
        """
        monotonic = self.clocks.monotonic
        deadline = monotonic() + self.policy.timeout
        watch = self.store.watch_holder(other, monotonic=monotonic)
        while monotonic() < deadline:
            started = monotonic()
            if await watch.ended():
                await self._abandon(ask.attempt, other)
            else:
                await asyncio.sleep(_POLL_SECONDS)
            timings.idle += monotonic() - started
            result = await self._try(ask, timings)
            if not isinstance(result, Pending):
                return result
            if result != other:
                other, watch = result, self.store.watch_holder(result, monotonic=monotonic)
        return other

    async def _abandon(self, attempt: Attempt, other: Pending) -> None:
        """The process of another relay has died: what became of its offer will not be learnt from it."""
        lost = replace(attempt, nonce=other.nonce)
        abandoned = await self.store.abandon(
            lost, window=self.policy.replay_window, code=OutcomeUnknown.code, now=self.clocks.now()
        )
        if abandoned:
            log.warning("claim_abandoned", handle=lost.handle_id, holder=other.holder)

    def _first_answer(self, attempt: Attempt, kept: Answered) -> Answer:
        context = (ANSWER_PURPOSE, attempt.handle_id, attempt.offer_sha256, kept.call_id)
        try:
            sdp = self.sealer.unseal(kept.sealed_answer, *context)
        except UnsealError:
            log.error("answer_not_unsealed", handle=attempt.handle_id)
            self.security.report(record_refused(attempt.handle_id, (), "answer_not_unsealed"))
            raise OutcomeUnknown(UNKNOWN_MESSAGE) from None
        return Answer(sdp=sdp, call_id=kept.call_id or None)


def is_proven(sealer: Sealer, handle_id: str, record: Won | Held) -> bool:
    """Whether a handle's record is as its mint wrote it, but for its uses. Older releases wrote no proof."""
    if not has_proof(handle_id) and not record.proof:
        return True
    return sealer.proves(record.proof, *record.stated(handle_id))


def refused(handle_id: str, result: Refused | Unknown | Pending) -> CloakroomError:
    """The error for a handle that cannot be used, or not for this."""
    match result:
        case Older():
            return InvalidHandle("This handle cannot be opened here. Mint a new one.")
        case Gone():
            return HandleExpired("This handle has expired. Mint a new one.")
        case Revoked():
            return HandleRevoked("This handle was revoked. Mint a new one.")
        case Spent(max_calls):
            return HandleSpent(f"This handle was good for {max_calls} call(s), which are used up.")
        case OtherCertificate():
            return WrongCertificate(
                "This handle is for another certificate. Mint one with the fingerprint of your own, and make "
                "the connection with that."
            )
        case OtherOrigin():
            return WrongOrigin("This handle is for another page. Mint one from the page that makes the call.")
        case OtherFamily(minted_for):
            return WrongSessionFamily(f"This handle was minted for {minted_for} sessions.")
        case Unknown() | Pending():
            return OutcomeUnknown(UNKNOWN_MESSAGE)
        case NewerVersion(version):
            return newer_release("handle", handle_id, version)
