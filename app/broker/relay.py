"""The relay: verify came before; here claim, unseal, send once, settle, in this order.

The claim comes before the provider is asked, so that two replicas never both spend the last use. An offer
is sent again only while no connection was made: once it may have arrived, a second one could create a
second, billed call. What came of it is settled under a shield, so that a browser that hangs up midway
does not leave half a state.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from app.broker.catalog import Catalog
from app.broker.settlement import Settlement, Write
from app.errors import (
    CloakroomError,
    HandleExpired,
    HandleRevoked,
    HandleSpent,
    InvalidHandle,
    OutcomeUnknown,
    StoreUnavailable,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSessionFamily,
)
from app.handles.grants import Grant, open_grant
from app.handles.sealing import Sealer, UnsealError
from app.models import Answer, CallRecord, Deployment, HandleClaims, Offer, Secret
from app.outbound.upstream import NoAnswer, NotConnected, Upstream
from app.providers.base import Provider, UpstreamRequest, UpstreamResponse
from app.store.handles import (
    Answered,
    Gone,
    HandleStore,
    OtherFamily,
    Pending,
    Revoked,
    Spent,
    Unknown,
    Won,
)
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.relay")

ANSWER_PURPOSE: Final = "sdp-answer"
# Connecting is tried twice: the second try covers a front end that was just replaced.
CONNECT_TRIES: Final = 2
# A claim stays pending this much longer than the longest relay; then it is up for grabs again.
_PENDING_MARGIN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05

_UNKNOWN_MESSAGE: Final = (
    "The offer was sent to the provider, but its answer never arrived. A call may exist: do not resend the "
    "offer, make a new one."
)


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the browser gets, and what the log tells of it. ``replayed``: the first answer, again."""

    answer: Answer
    deployment: str
    model: str
    client: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """Times in seconds: of one relay, of the replay window, and of a call on record."""

    replica: str
    timeout: float
    replay_window: float
    call_retention: float


class Relay:
    """Presents a browser's offer to the provider with the key that its handle stands for."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        upstream: Upstream,
        sealer: Sealer,
        store: HandleStore,
        settlement: Settlement,
        policy: RelayPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._upstream = upstream
        self._sealer = sealer
        self._store = store
        self._settlement = settlement
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic

    async def relay(self, handle: HandleClaims, offer: Offer, timings: Timings) -> Relayed:
        """Relay the offer, or give the first answer again for an offer that was relayed a moment ago.

        Raises:
            HandleExpired, HandleRevoked, HandleSpent, InvalidHandle, WrongSessionFamily: no claim was won.
            UpstreamUnreachable: the provider saw nothing, and the use was given back.
            UpstreamError: the provider refused; the use is spent.
            UpstreamTimeout, OutcomeUnknown: a call may exist.
            StoreUnavailable: the claim could not be made.
        """
        self._store.require_up()
        nonce = secrets.token_urlsafe(9)
        claim = await self._claim(handle, offer, nonce, timings)
        if isinstance(claim, Answered):
            return self._replay(handle, offer, claim)
        timings.model, timings.deployment = claim.model, claim.deployment
        deployment, grant = await self._open(handle, offer, nonce, claim)
        answer = await self._send(handle, offer, nonce, deployment, grant, timings)
        started = self._monotonic()
        await self._settle(handle, offer, nonce, claim, answer)
        timings.store_took("settle", started, self._monotonic())
        return Relayed(answer, claim.deployment, claim.model, claim.client, replayed=False)

    # --- claim -------------------------------------------------------------------------------

    async def _claim(
        self, handle: HandleClaims, offer: Offer, nonce: str, timings: Timings
    ) -> Won | Answered:
        """Claim a use; while another relay of the same offer is under way, wait for its answer."""
        deadline = self._monotonic() + self._policy.timeout
        pending = self._policy.timeout + _PENDING_MARGIN_SECONDS
        while True:
            started = self._monotonic()
            try:
                claim = await self._store.claim(
                    handle.id,
                    offer.sha256,
                    nonce,
                    families=offer.families,
                    pending=pending,
                    now=self._clock(),
                )
            except StoreUnavailable:
                # The claim may have been recorded and only its reply lost; nothing was sent on it.
                release = self._releasing(handle, offer, nonce, give_back=True, code=StoreUnavailable.code)
                self._settlement.write_later("release", release, handle=handle.id)
                raise
            finally:
                timings.store_took("claim", started, self._monotonic())
            if not isinstance(claim, Pending):
                break
            if self._monotonic() >= deadline:
                raise OutcomeUnknown(_UNKNOWN_MESSAGE)
            await asyncio.sleep(_POLL_SECONDS)
            timings.idle += _POLL_SECONDS
        match claim:
            case Won() | Answered():
                return claim
            case Gone():
                raise HandleExpired("This handle has expired. Mint a new one.")
            case Revoked():
                raise HandleRevoked("This handle was revoked. Mint a new one.")
            case Spent(max_calls):
                raise HandleSpent(f"This handle was good for {max_calls} call(s), which are used up.")
            case OtherFamily(minted_for):
                raise WrongSessionFamily(f"This handle was minted for {minted_for} sessions.")
            case Unknown():
                raise OutcomeUnknown(_UNKNOWN_MESSAGE)

    def _replay(self, handle: HandleClaims, offer: Offer, claim: Answered) -> Relayed:
        context = (ANSWER_PURPOSE, handle.id, offer.sha256, claim.call_id)
        try:
            sdp = self._sealer.unseal(claim.sealed_answer, *context)
        except UnsealError:
            log.error("answer_not_unsealed", handle=handle.id)
            raise OutcomeUnknown(_UNKNOWN_MESSAGE) from None
        return Relayed(Answer(sdp=sdp, call_id=claim.call_id or None), "", "", "", replayed=True)

    async def _open(
        self, handle: HandleClaims, offer: Offer, nonce: str, claim: Won
    ) -> tuple[Deployment, Grant]:
        """Find the deployment and unseal the key; where either fails, no use is spent."""
        context = (handle.id, claim.client, claim.expires_at)
        deployment = self._catalog.deployment(claim.deployment)
        reason = "unknown_deployment"
        if deployment is not None:
            try:
                by_standard_key = deployment.call_key == "standard"
                grant = open_grant(self._sealer, claim.sealed_key, *context, with_call=by_standard_key)
            except UnsealError:
                reason = "not_unsealed"
            else:
                return deployment, grant
        log.error("handle_not_opened", handle=handle.id, deployment=claim.deployment, reason=reason)
        release = self._releasing(handle, offer, nonce, give_back=True, code=InvalidHandle.code)
        await self._settlement.write("release", release, handle=handle.id)
        raise InvalidHandle("This handle cannot be opened here. Mint a new one.")

    # --- send once ---------------------------------------------------------------------------

    async def _send(
        self,
        handle: HandleClaims,
        offer: Offer,
        nonce: str,
        deployment: Deployment,
        grant: Grant,
        timings: Timings,
    ) -> Answer:
        provider = self._providers[deployment.provider]
        try:
            request, presented = self._request(provider, deployment, grant, offer)
            response = await self._post(request, timings)
            return provider.read_answer(deployment, presented, response)
        except CloakroomError as error:
            what, write = self._after_failure(handle, offer, nonce, error)
            started = self._monotonic()
            await self._settlement.write(what, write, handle=handle.id)
            timings.store_took("release", started, self._monotonic())
            raise

    def _request(
        self, provider: Provider, deployment: Deployment, grant: Grant, offer: Offer
    ) -> tuple[UpstreamRequest, Secret]:
        """The request, and the key that it presents.

        A handle from before the setting's change has no session beside its key: its key serves.
        """
        if deployment.call_key == "standard" and grant.call is not None:
            return provider.standard_call_request(deployment, grant.call, offer), deployment.bearer()
        return provider.relay_request(deployment, grant.key, offer), grant.key

    async def _post(self, request: UpstreamRequest, timings: Timings) -> UpstreamResponse:
        for _ in range(CONNECT_TRIES):
            started = self._monotonic()
            try:
                return await self._upstream.post(request, timeout=self._policy.timeout, timings=timings)
            except NotConnected:
                continue
            except NoAnswer as failure:
                if failure.timed_out:
                    raise UpstreamTimeout(
                        "The provider did not answer the offer in time. A call may exist: do not resend it."
                    ) from None
                raise OutcomeUnknown(_UNKNOWN_MESSAGE) from None
            finally:
                timings.provider += self._monotonic() - started
        raise UpstreamUnreachable(
            "The provider cannot be reached. Nothing was sent; try again.", retry_after=1
        )

    # --- settle ------------------------------------------------------------------------------

    def _after_failure(
        self, handle: HandleClaims, offer: Offer, nonce: str, error: CloakroomError
    ) -> tuple[str, Write]:
        """What is put on record. Where a call may exist, nobody sends this offer again for a while."""
        if not isinstance(error, OutcomeUnknown | UpstreamTimeout):
            # A refusal spends the use, since the provider saw the offer; a lost connection does not.
            unsent = isinstance(error, UpstreamUnreachable)
            return "release", self._releasing(handle, offer, nonce, give_back=unsent, code=error.answer_code)
        code, now = error.code, self._clock()

        async def mark_unknown() -> None:
            window = self._policy.replay_window
            await self._store.mark_unknown(handle.id, offer.sha256, nonce, window=window, code=code, now=now)

        return "mark_unknown", mark_unknown

    async def _settle(
        self, handle: HandleClaims, offer: Offer, nonce: str, claim: Won, answer: Answer
    ) -> None:
        now = self._clock()
        call_id = answer.call_id or ""
        sealed = self._sealer.seal(answer.sdp, ANSWER_PURPOSE, handle.id, offer.sha256, call_id)
        call = CallRecord(
            id=call_id,
            handle=handle.id,
            deployment=claim.deployment,
            model=claim.model,
            client=claim.client,
            subject=claim.subject,
            relayed_at=int(now),
            relayed_by=self._policy.replica,
        )

        async def settle() -> None:
            await self._store.settle(
                handle.id,
                offer.sha256,
                nonce,
                sealed,
                call if call_id else None,
                window=self._policy.replay_window,
                retention=self._policy.call_retention,
                now=now,
            )

        # Should the store fail now, the browser still gets its answer: the call exists.
        await self._settlement.write("settle", settle, handle=handle.id, call_id=call_id)

    def _releasing(
        self, handle: HandleClaims, offer: Offer, nonce: str, *, give_back: bool, code: str
    ) -> Write:
        now = self._clock()

        async def release() -> None:
            await self._store.release(handle.id, offer.sha256, nonce, give_back=give_back, code=code, now=now)

        return release
