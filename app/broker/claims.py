"""An offer's claim on its handle: won before the provider is asked, and settled by what came of it.

A claim carries its own nonce, so it may be repeated after a lost reply, and two replicas never both win the
last use. A use is given back only when the offer provably did not reach the provider.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from app.broker.outcomes import ANSWER_PURPOSE, UNKNOWN_MESSAGE, Claim, Outcomes, RelayPolicy
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
    WrongSessionFamily,
)
from app.handles.sealing import Sealer, UnsealError
from app.models import Answer, Clocks, HandleClaims, Offer
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

# A claim stays pending this much longer than the longest relay; then it is up for grabs again.
_PENDING_MARGIN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Wins claims; ``outcomes`` settles them."""

    store: HandleStore
    sealer: Sealer
    outcomes: Outcomes
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
                release = self.outcomes.releasing(attempt, give_back=True, code=error.code)
                await self.outcomes.settlement.write("release", release, handle=attempt.handle_id)
            raise
        except StoreUnavailable as error:
            # The claim may have been recorded and only its reply lost; nothing was sent on it.
            release = self.outcomes.releasing(attempt, give_back=True, code=error.code)
            self.outcomes.settlement.write_later("release", release, handle=attempt.handle_id)
            raise
        except asyncio.CancelledError:
            # The process is ending, and nothing was sent.
            release = self.outcomes.releasing(attempt, give_back=True, code=Draining.code)
            self.outcomes.settlement.write_soon("release", release, handle=attempt.handle_id)
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
