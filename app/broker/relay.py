"""The relay: the handle is verified already; here claim, unseal, send once and settle, in this order.

The claim comes before the provider is asked, so that two replicas never both spend the last use. An offer
is sent again only while no connection was made: once it may have arrived, a second one could create a
second, billed call. The settlement runs to its end even when the browser hangs up midway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from app.broker.claims import Claims, is_proven
from app.broker.deadlines.orphans import Orphans
from app.broker.late import Late, LateAnswers
from app.broker.outcomes import UNKNOWN_MESSAGE, Claim, Outcomes
from app.broker.routing.attempts import shown_by_call
from app.broker.routing.breaker import ANSWERED, Breakers, Verdict
from app.broker.routing.catalog import Catalog
from app.broker.security.events import SecurityLog, record_refused
from app.broker.session_policy import require_same
from app.errors import CloakroomError, InvalidHandle, OutcomeUnknown, UpstreamTimeout, UpstreamUnreachable
from app.handles.grants import Grant, open_grant
from app.handles.sealing import Sealer, UnsealError
from app.models import Answer, Deployment, Family, HandleClaims, Offer, Secret, Sender, value
from app.outbound.upstream import (
    LEAST_SHARE_OF_A_TRY,
    NoAnswer,
    NotAllowed,
    NotConnected,
    Upstream,
    failure_of,
)
from app.providers.answers import call_id_of
from app.providers.base import Provider, UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.relay")

# Connecting is tried twice: the second try covers a front end that was just replaced.
CONNECT_TRIES: Final = 2


@value
class Relayed:
    """What the browser gets, and what the log says about it. ``replayed``: this is the first answer again.

    ``region`` is where the provider serves the call, None where that is not known. The call is hung up after
    ``max_call_seconds``; None: never by us, or, where ``replayed``, as the first relay said.
    """

    answer: Answer
    deployment: str
    model: str
    client: str
    replayed: bool
    subject: str = ""
    region: str | None = None
    max_call_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Presents a browser's offer to the provider with the key that its handle stands for.

    ``timeout`` is for the provider's answer, connecting included, in seconds; ``monotonic`` returns seconds.
    ``late`` waits for answers that come after it, None where no call is hung up for being late. ``breakers``
    are those of the mints.
    """

    catalog: Catalog
    providers: Mapping[str, Provider]
    upstream: Upstream
    sealer: Sealer
    claims: Claims
    outcomes: Outcomes
    orphans: Orphans
    late: LateAnswers | None
    breakers: Breakers
    security: SecurityLog
    timeout: float
    monotonic: Callable[[], float]

    async def relay(self, handle: HandleClaims, offer: Offer, sender: Sender, timings: Timings) -> Relayed:
        """Relay the offer, or give the first answer again for an offer that was relayed a moment ago.

        Raises:
            HandleExpired, HandleRevoked, HandleSpent, InvalidHandle, WrongSessionFamily, WrongCertificate,
                WrongOrigin: no claim was won.
            UpstreamUnreachable, Overloaded: the provider saw nothing, and the use was given back.
            InvalidRequest: so it did, because the deployment's dialect was changed since the mint, or because
                the offer came with another session than the one that was fixed then.
            UpstreamError: the provider refused; the use is spent.
            UpstreamTimeout, OutcomeUnknown: a call may exist.
            StoreUnavailable, Draining: the claim could not be made here.
        """
        claim = await self.claims.win(handle, offer, sender, timings)
        if isinstance(claim, Answer):
            return Relayed(claim, "", "", "", replayed=True)
        won = claim.won
        timings.model, timings.deployment = won.model, won.deployment
        deployment, grant = await self._open(claim)
        answer = await self._send(offer, claim, deployment, grant, timings)
        started = self.monotonic()
        try:
            await self.outcomes.answered(claim, answer)
        except asyncio.CancelledError:
            self.orphans.undelivered(claim.handle_id, answer.call_id)
            raise
        timings.store_took("settle", started, self.monotonic())
        return Relayed(
            answer,
            won.deployment,
            won.model,
            won.client,
            replayed=False,
            subject=won.subject,
            region=deployment.region,
            # A call without an id cannot be hung up.
            max_call_seconds=(answer.call_id and claim.max_call_seconds) or None,
        )

    async def _open(self, claim: Claim) -> tuple[Deployment, Grant]:
        """Find the deployment and unseal the key; where either fails, no use is spent."""
        won = claim.won
        deployment = self.catalog.deployment(won.deployment)
        reason = "unknown_deployment"
        if not self.sealer.knows(won.sealed_key):
            # A key that left the ring too early, more often than a record that was changed.
            reason = "unknown_sealing_key"
        elif not is_proven(self.sealer, claim.handle_id, won):
            reason = "not_proven"
        elif deployment is not None:
            context = (claim.handle_id, won.client, won.expires_at)
            by_standard_key = deployment.call_key == "standard"
            try:
                grant = open_grant(self.sealer, won.sealed_key, *context, with_call=by_standard_key)
            except UnsealError:
                reason = "not_unsealed"
            else:
                return deployment, grant
        log.error("handle_not_opened", handle=claim.handle_id, deployment=won.deployment, reason=reason)
        if reason != "unknown_deployment":
            whose = (won.client, won.subject, won.model)
            self.security.report(record_refused(claim.handle_id, whose, reason))
        await self.outcomes.give_back(claim, code=InvalidHandle.code)
        raise InvalidHandle("This handle cannot be opened here. Mint a new one.")

    async def _send(
        self, offer: Offer, claim: Claim, deployment: Deployment, grant: Grant, timings: Timings
    ) -> Answer:
        provider = self.providers[deployment.provider]
        try:
            _check_session(offer, grant, claim.won.model)
            request, presented = _request(provider, deployment, grant, offer)
        except CloakroomError as error:
            await self.outcomes.give_back(claim, code=error.answer_code)
            raise
        try:

            async def came_late(response: UpstreamResponse) -> None:
                await self._came_late(claim, provider, deployment, presented, response)

            response = await self._post(request, timings, came_late)
            answer = provider.read_answer(deployment, presented, response)
        except CloakroomError as error:
            self._tell(deployment, shown_by_call(error))
            started = self.monotonic()
            await self.outcomes.failed(claim, error)
            timings.store_took("release", started, self.monotonic())
            raise
        except asyncio.CancelledError:
            self.outcomes.cut_off(claim)
            raise
        self._tell(deployment, ANSWERED)
        return answer

    def _tell(self, deployment: Deployment, shown: Verdict) -> None:
        """Let mints know what a call showed about a deployment that they do not ask."""
        if not deployment.ephemeral_keys:
            self.breakers.tell(deployment.name, shown)

    async def _came_late(
        self,
        claim: Claim,
        provider: Provider,
        deployment: Deployment,
        presented: Secret | None,
        response: UpstreamResponse,
    ) -> None:
        try:
            call_id = provider.read_answer(deployment, presented, response).call_id
        except OutcomeUnknown as unreadable:
            call_id = unreadable.call_id
        except CloakroomError:
            # Refused after all: there is no call.
            return
        await self.outcomes.lost(claim, call_id)

    async def _post(self, request: UpstreamRequest, timings: Timings, came_late: Late) -> UpstreamResponse:
        deadline = self.monotonic() + self.timeout
        for _ in range(CONNECT_TRIES):
            started = self.monotonic()
            # After a slow first try too little may be left for an answer: a second offer would be in vain.
            if deadline - started < self.timeout * LEAST_SHARE_OF_A_TRY:
                break
            try:
                left = deadline - started
                if self.late is None:
                    return await self.upstream.post(request, timeout=left, timings=timings)
                return await self.late.post(request, timeout=left, timings=timings, late=came_late)
            except NotAllowed as refused:
                raise failure_of(refused) from None
            except NotConnected:
                continue
            except NoAnswer as failure:
                if failure.timed_out:
                    raise UpstreamTimeout(
                        "The provider did not answer the offer in time. A call may exist: do not resend it."
                    ) from None
                raise OutcomeUnknown(UNKNOWN_MESSAGE, call_id=_call_named_in(failure.head)) from None
            finally:
                timings.provider += self.monotonic() - started
        raise UpstreamUnreachable(
            "The provider cannot be reached. Nothing was sent; try again.", retry_after=1
        )


def _call_named_in(head: UpstreamResponse | None) -> str | None:
    """The id of the call that an answer named before it broke off."""
    if head is None or not 200 <= head.status <= 299:
        return None
    return call_id_of(head.headers.get("Location", ""))


def _check_session(offer: Offer, grant: Grant, alias: str) -> None:
    """Refuse an offer that wants another session than the one that was fixed at the mint.

    ``alias`` is the model's name for callers.
    """
    if offer.session is None or grant.call is None:
        return
    # A Live session names no type; ours does, at the mint.
    fixed = {**orjson.loads(grant.call.session), "model": alias, "type": Family.LIVE.value}
    require_same(offer.session, fixed)


def _request(
    provider: Provider, deployment: Deployment, grant: Grant, offer: Offer
) -> tuple[UpstreamRequest, Secret | None]:
    """The request, and the credential that it presents, if any.

    What the handle stands for decides, since the deployment's settings may have changed since its mint: a
    handle without a key has its session, and one without a session has its key.
    """
    call, key = grant.call, grant.key
    if call is not None and (key is None or deployment.call_key == "standard"):
        return provider.standard_call_request(deployment, call, offer), deployment.bearer()
    if key is None:
        raise TypeError("a grant without a key and a call")
    return provider.relay_request(deployment, key, offer), key
