"""An offer's claim on its handle: won before the provider is asked, and settled by what came of it.

A claim carries its own nonce, so it may be repeated after a lost reply, and two replicas never both win the
last use. A use is given back only when the offer provably did not reach the provider.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from app.broker.deadlines.orphans import Orphans
from app.broker.settlement import Settlement, Write
from app.broker.upgrades import newer_release
from app.errors import (
    CloakroomError,
    Draining,
    HandleExpired,
    HandleRevoked,
    HandleSpent,
    OutcomeUnknown,
    StoreNotReplicated,
    StoreUnavailable,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSessionFamily,
)
from app.handles.sealing import Sealer, UnsealError
from app.models import Answer, CallRecord, Clocks, HandleClaims, Offer
from app.store.records.claims import (
    Answered,
    Attempt,
    Gone,
    NewerVersion,
    OtherFamily,
    Pending,
    Revoked,
    Spent,
    Unknown,
    Won,
)
from app.store.records.claims import Claim as Result
from app.store.records.handles import HandleStore
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.relay")

ANSWER_PURPOSE: Final = "sdp-answer"
UNKNOWN_MESSAGE: Final = (
    "The offer was sent to the provider, but its answer never arrived. A call may exist: do not resend the "
    "offer, make a new one."
)
# A claim stays pending this much longer than the longest relay; then it is up for grabs again.
_PENDING_MARGIN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """Times in seconds: of one relay, of the replay window, and of a call on record."""

    replica: str
    timeout: float
    replay_window: float
    call_retention: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A use that was won for one offer. It must be settled, in one of the ways of ``Claims``."""

    attempt: Attempt
    won: Won

    @property
    def handle_id(self) -> str:
        return self.attempt.handle_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Wins claims and settles them."""

    store: HandleStore
    sealer: Sealer
    settlement: Settlement
    orphans: Orphans
    policy: RelayPolicy
    clocks: Clocks

    async def win(self, handle: HandleClaims, offer: Offer, timings: Timings) -> Claim | Answer:
        """Claim one use, or return the answer to the same offer, which is waited for while it is under way.

        Raises:
            HandleExpired, HandleRevoked, HandleSpent, WrongSessionFamily: no use was claimed.
            Draining: nor here; only replicas of a newer release can read the handle's record.
            OutcomeUnknown: the offer was sent before, and its answer is not known.
            StoreUnavailable: the claim could not be made.
        """
        self.store.require_up(handle.id)
        attempt = self.store.attempt(handle.id, offer.sha256)
        result = await self._try(attempt, offer, timings)
        if isinstance(result, Pending):
            result = await self._wait(attempt, offer, result, timings)
        match result:
            case Won():
                return Claim(attempt, result)
            case Answered():
                return self._first_answer(attempt, result)
            case _:
                raise _refusal(handle.id, result)

    async def give_back(self, claim: Claim, *, code: str) -> None:
        """The offer was never sent, so the use is not spent. ``code`` goes on the record."""
        release = self._releasing(claim.attempt, give_back=True, code=code)
        await self.settlement.write("release", release, handle=claim.handle_id)

    async def failed(self, claim: Claim, error: CloakroomError) -> None:
        """Settle by how the relay failed. Where a call may exist, this offer stays blocked for a while."""
        if isinstance(error, OutcomeUnknown) and error.call_id is not None:
            await self.lost(claim, error.call_id)
            return
        if isinstance(error, OutcomeUnknown | UpstreamTimeout):
            write = self._unknown(claim, error.code)
            await self.settlement.write("mark_unknown", write, handle=claim.handle_id)
            return
        if isinstance(error, UpstreamUnreachable):
            await self.give_back(claim, code=error.answer_code)
            return
        # The provider saw the offer and refused it: the use is spent.
        release = self._releasing(claim.attempt, give_back=False, code=error.answer_code)
        await self.settlement.write("release", release, handle=claim.handle_id)

    def cut_off(self, claim: Claim) -> None:
        """The relay was cancelled, and the provider may have the offer. Returns at once."""
        write = self._unknown(claim, OutcomeUnknown.code)
        self.settlement.write_soon("mark_unknown", write, handle=claim.handle_id)

    async def lost(self, claim: Claim, call_id: str | None) -> None:
        """The offer made this call, and no browser has its answer or ever will."""
        if call_id is not None:
            write = self._unknown(claim, OutcomeUnknown.code, self._call(claim, call_id))
            await self.settlement.write("mark_unknown", write, handle=claim.handle_id, call_id=call_id)
        self.orphans.lost(claim.handle_id, call_id)

    async def answered(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer for a repeated offer, and register the call that the provider named.

        Raises:
            OutcomeUnknown: the same offer was answered so elsewhere, and that is final. The call is lost.
        """
        now, call_id, counts = self.clocks.now(), answer.call_id or "", True
        context = (ANSWER_PURPOSE, claim.handle_id, claim.attempt.offer_sha256, call_id)
        sealed = self.sealer.seal(answer.sdp, *context)
        call = self._call(claim, call_id) if call_id else None

        async def settle() -> None:
            nonlocal counts
            counts = await self.store.settle(
                claim.attempt,
                sealed,
                call,
                window=self.policy.replay_window,
                retention=self.policy.call_retention,
                now=now,
            )
            if not counts:
                await self.orphans.lose(answer.call_id)

        # Should the store fail now, the browser still gets its answer: the call exists.
        await self.settlement.write("settle", settle, handle=claim.handle_id, call_id=call_id)
        if not counts:
            self.orphans.lost(claim.handle_id, answer.call_id)
            raise OutcomeUnknown(UNKNOWN_MESSAGE)

    def _call(self, claim: Claim, call_id: str) -> CallRecord:
        won = claim.won
        return CallRecord(
            id=call_id,
            handle=claim.handle_id,
            deployment=won.deployment,
            model=won.model,
            client=won.client,
            subject=won.subject,
            relayed_at=int(self.clocks.now()),
            relayed_by=self.policy.replica,
        )

    async def _try(self, attempt: Attempt, offer: Offer, timings: Timings) -> Result:
        started = self.clocks.monotonic()
        try:
            return await self.store.claim(
                attempt,
                families=offer.families,
                pending=self.policy.timeout + _PENDING_MARGIN_SECONDS,
                now=self.clocks.now(),
            )
        except StoreNotReplicated as error:
            if not error.nothing_written:
                release = self._releasing(attempt, give_back=True, code=error.code)
                await self.settlement.write("release", release, handle=attempt.handle_id)
            raise
        except StoreUnavailable as error:
            # The claim may have been recorded and only its reply lost; nothing was sent on it.
            release = self._releasing(attempt, give_back=True, code=error.code)
            self.settlement.write_later("release", release, handle=attempt.handle_id)
            raise
        except asyncio.CancelledError:
            # The process is ending, and nothing was sent.
            release = self._releasing(attempt, give_back=True, code=Draining.code)
            self.settlement.write_soon("release", release, handle=attempt.handle_id)
            raise
        finally:
            timings.store_took("claim", started, self.clocks.monotonic())

    async def _wait(self, attempt: Attempt, offer: Offer, other: Pending, timings: Timings) -> Result:
        """Wait until another relay of this offer is over, or its process has died, and try again.

        The result is ``Pending`` where neither happens in the time of a relay.
        """
        monotonic = self.clocks.monotonic
        deadline = monotonic() + self.policy.timeout
        watch = self.store.watch_holder(other, monotonic=monotonic)
        while monotonic() < deadline:
            started = monotonic()
            if await watch.ended():
                await self._abandon(attempt, other)
            else:
                await asyncio.sleep(_POLL_SECONDS)
            timings.idle += monotonic() - started
            result = await self._try(attempt, offer, timings)
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
            raise OutcomeUnknown(UNKNOWN_MESSAGE) from None
        return Answer(sdp=sdp, call_id=kept.call_id or None)

    def _releasing(self, attempt: Attempt, *, give_back: bool, code: str) -> Write:
        now = self.clocks.now()

        async def release() -> None:
            await self.store.release(attempt, give_back=give_back, code=code, now=now)

        return release

    def _unknown(self, claim: Claim, code: str, call: CallRecord | None = None) -> Write:
        now, policy = self.clocks.now(), self.policy

        async def mark_unknown() -> None:
            await self.store.mark_unknown(
                claim.attempt,
                window=policy.replay_window,
                code=code,
                now=now,
                call=call,
                retention=policy.call_retention,
            )
            if call is not None:
                await self.orphans.lose(call.id)

        return mark_unknown


def _refusal(
    handle_id: str, result: Gone | Revoked | Spent | OtherFamily | Unknown | Pending | NewerVersion
) -> CloakroomError:
    match result:
        case Gone():
            return HandleExpired("This handle has expired. Mint a new one.")
        case Revoked():
            return HandleRevoked("This handle was revoked. Mint a new one.")
        case Spent(max_calls):
            return HandleSpent(f"This handle was good for {max_calls} call(s), which are used up.")
        case OtherFamily(minted_for):
            return WrongSessionFamily(f"This handle was minted for {minted_for} sessions.")
        case Unknown() | Pending():
            return OutcomeUnknown(UNKNOWN_MESSAGE)
        case NewerVersion(version):
            return newer_release("handle", handle_id, version)
