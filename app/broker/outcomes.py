"""What becomes of a claim: its use given back, an answer kept, or an outcome that is not known.

A use is given back only when the offer provably did not reach the provider. What the store does not take
now is written later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.broker.deadlines.orphans import Orphans
from app.broker.settlement import Settlement, Write
from app.errors import CloakroomError, OutcomeUnknown, Overloaded, UpstreamTimeout, UpstreamUnreachable
from app.handles.sealing import Sealer
from app.models import Answer, Clocks, value
from app.store.records.claims import Attempt, Keep, Won
from app.store.records.handles import HandleStore
from app.store.records.record import CallRecord, call_statement
from app.store.records.seats import Seat, freeing
from app.store.scripts import ScriptCall

ANSWER_PURPOSE: Final = "sdp-answer"
UNKNOWN_MESSAGE: Final = (
    "The offer was sent to the provider, but its answer never arrived. A call may exist: do not resend the "
    "offer, make a new one."
)


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """Times in seconds: of one relay, of the replay window, and of a call on record."""

    replica: str
    timeout: float
    replay_window: float
    call_retention: float


@value
class Claim:
    """A use that was won for one offer. It must be settled, in one of the ways of ``Outcomes``.

    ``seat`` is its place among its client's calls, None where their number is not limited. The call is hung
    up after ``max_call_seconds``, 0: never by us.
    """

    attempt: Attempt
    won: Won
    seat: Seat | None = None
    max_call_seconds: int = 0

    @property
    def freeing(self) -> list[ScriptCall]:
        """The scripts that give its seat back, where no call was made."""
        return [] if self.seat is None else [freeing(self.seat, nonce=self.attempt.nonce)]

    @property
    def handle_id(self) -> str:
        return self.attempt.handle_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Settles claims. ``metered`` tells whether the usage of a model's calls is counted."""

    store: HandleStore
    sealer: Sealer
    settlement: Settlement
    orphans: Orphans
    policy: RelayPolicy
    clocks: Clocks
    metered: Callable[[str], bool] = lambda _: False

    async def give_back(self, claim: Claim, *, code: str) -> None:
        """The offer was never sent, so the use is not spent. ``code`` goes on the record."""
        release = self.releasing(claim.attempt, give_back=True, code=code, beside=claim.freeing)
        await self.settlement.write("release", release, handle=claim.handle_id)

    async def free(self, attempt: Attempt, freeing: Sequence[ScriptCall]) -> None:
        """Give back the seat of an attempt that won no use."""

        async def free() -> None:
            await self.store.free(freeing)

        await self.settlement.write("free", free, handle=attempt.handle_id)

    async def failed(self, claim: Claim, error: CloakroomError) -> None:
        """Settle by how the relay failed. Where a call may exist, this offer stays blocked for a while."""
        if isinstance(error, OutcomeUnknown) and error.call_id is not None:
            await self.lost(claim, error.call_id)
            return
        if isinstance(error, OutcomeUnknown | UpstreamTimeout):
            write = self._unknown(claim, error.code)
            await self.settlement.write("mark_unknown", write, handle=claim.handle_id)
            return
        if isinstance(error, UpstreamUnreachable | Overloaded):
            await self.give_back(claim, code=error.answer_code)
            return
        # The provider saw the offer and refused it: the use is spent.
        code = error.answer_code
        release = self.releasing(claim.attempt, give_back=False, code=code, beside=claim.freeing)
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
        now, started = self.clocks.now(), self.clocks.monotonic()
        call_id, counts = answer.call_id or "", True
        context = (ANSWER_PURPOSE, claim.handle_id, claim.attempt.offer_sha256, call_id)
        sealed = self.sealer.seal(answer.sdp, *context)
        call = self._call(claim, call_id) if call_id else None

        async def settle() -> None:
            nonlocal counts
            counts = await self.store.settle(
                claim.attempt,
                sealed,
                call,
                keep=Keep(self.policy.replay_window, self.policy.call_retention),
                now=now,
                age=self.clocks.monotonic() - started,
            )
            if not counts:
                await self.orphans.lose(answer.call_id)

        # Should the store fail now, the browser still gets its answer: the call exists.
        await self.settlement.write("settle", settle, handle=claim.handle_id, call_id=call_id)
        if not counts:
            self.orphans.lost(claim.handle_id, answer.call_id)
            raise OutcomeUnknown(UNKNOWN_MESSAGE)

    def _call(self, claim: Claim, call_id: str) -> CallRecord:
        won, relayed_at = claim.won, int(self.clocks.now())
        seat = "" if claim.seat is None else claim.seat.text
        names = (claim.handle_id, won.deployment, won.model, won.client, won.subject)
        stated = call_statement(call_id, names, relayed_at, claim.max_call_seconds, seat)
        return CallRecord(
            id=call_id,
            handle=claim.handle_id,
            deployment=won.deployment,
            model=won.model,
            client=won.client,
            subject=won.subject,
            relayed_at=relayed_at,
            relayed_by=self.policy.replica,
            max_call_seconds=claim.max_call_seconds,
            seat=seat,
            proof=self.sealer.prove(*stated),
            to_meter=self.metered(won.model),
        )

    def releasing(
        self, attempt: Attempt, *, give_back: bool, code: str, beside: Sequence[ScriptCall] = ()
    ) -> Write:
        """The write that ends a claim without an answer, with what runs ``beside`` it."""
        now = self.clocks.now()

        async def release() -> None:
            await self.store.release(attempt, give_back=give_back, code=code, now=now, beside=beside)

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
