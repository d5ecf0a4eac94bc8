"""The mint: the caller is known already; here limits, pool or provider, seal, store and sign, in this order.

The store is asked whether it is there before the provider is asked for a key, and a key whose record
could not be stored is dropped: a raw key never reaches a caller. Where the provider mints no keys, the handle
stands for the session alone, and no one is asked.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from app.broker.allowance import Allowance
from app.broker.mint_limits import MintLimits
from app.broker.pool.warm import WarmPool
from app.broker.routing.attempts import Candidate, Granted, MintAttempts
from app.broker.routing.catalog import Catalog, Route
from app.broker.session_policy import (
    ModelPolicy,
    clean_session,
    of_family,
    seconds_within,
    under_policy,
    usual_within,
)
from app.errors import CloakroomError, InvalidRequest, StoreUnavailable
from app.handles.grants import seal_grant
from app.handles.sealing import Sealer
from app.handles.tokens import HandleIssuer, new_bound_handle_id, new_handle_id
from app.models import (
    NOT_BOUND,
    SHORTEST_CALL_SECONDS,
    Binding,
    Client,
    Clocks,
    Deployment,
    Family,
    MintRequest,
    value,
)
from app.providers.sessions import with_models
from app.store.records.handles import HandleStore
from app.store.records.minting import Live
from app.store.records.record import HandleRecord
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.mint")

# Ids that a handle is given until a node of the store takes it.
_PLACES: Final = 3


@value
class Minted:
    """What the caller gets. ``expires_at`` is epoch seconds; ``session`` is the provider's echo, cleaned.

    Where the provider was not asked, ``session`` is the one that the call will be created with. A call is
    hung up after ``max_call_seconds``; None: never by us. Only offers that fit ``binding`` are relayed.
    """

    handle_id: str
    handle: str = field(repr=False)
    expires_at: int
    session: Mapping[str, Any] = field(repr=False)
    deployment: Deployment
    family: Family
    max_call_seconds: int | None = None
    binding: Binding = NOT_BOUND


@value
class _Order:
    """What is minted: for whom, what was asked for, the model's policy, and the handle that was counted.

    A call is hung up after ``max_call_seconds``; None: never by us.
    """

    client: Client
    request: MintRequest
    policy: ModelPolicy
    live: Live | None
    max_call_seconds: int | None


@dataclass(slots=True)
class MintPolicy:
    """What holds where neither the model nor the client says otherwise. Only ``subject_key`` ever changes.

    ``max_calls`` of each handle, 0 for no limit; ``max_call_seconds`` of each call, None for no limit;
    ``subject_key`` hashes subjects, None leaves them out.
    """

    replica: str
    max_calls: int
    max_call_seconds: int | None = None
    subject_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minter:
    """Mints an ephemeral key and leaves it in the store under a fresh handle."""

    catalog: Catalog
    attempts: MintAttempts
    pool: WarmPool
    handles: HandleIssuer
    allowance: Allowance
    limits: MintLimits
    sealer: Sealer
    store: HandleStore
    policy: MintPolicy
    clocks: Clocks

    async def mint(self, client: Client, request: MintRequest, timings: Timings) -> Minted:
        """Mint for this client.

        Raises:
            ModelNotFound, ModelNotAllowed, RateLimited, TooManyHandles: before the provider is asked.
            StoreUnavailable: before, when nothing can be stored just now; after, when that failed then.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the provider's fault.
        """
        route = self.catalog.resolve(client, request.model)
        request = of_family(request, route.deployments)
        leash = self._leash(client, request, route.policy)
        candidates = self._candidates(client, request, route)
        self.store.require_savable()
        order = _Order(client, request, route.policy, self.limits.live(client, _maker(request)), leash)
        await self.limits.admit(client, request.subject, order.live, timings)
        try:
            granted, record = await self._made(order, candidates, timings)
        except CloakroomError:
            await self.limits.forget(client, order.live)
            raise
        life = granted.life
        owner = self.allowance.owner(client, record.subject, record.id, seconds=record.max_call_seconds)
        handle = self.handles.issue(record.id, expires_at=life.expires_at, owner=owner)
        session = clean_session(
            granted.session, granted.grant.key, request, handle=handle, expires_at=life.expires_at
        )
        if route.policy.strip_instructions:
            session.pop("instructions", None)
        return Minted(
            handle_id=record.id,
            handle=handle,
            expires_at=life.expires_at,
            session=session,
            deployment=granted.candidate.deployment,
            family=request.family,
            max_call_seconds=leash,
            binding=request.binding,
        )

    async def _made(
        self, order: _Order, candidates: Sequence[Candidate], timings: Timings
    ) -> tuple[Granted, HandleRecord]:
        """Take a key from the pool or mint at the provider, and store what the handle stands for."""
        spent, granted = 0.0, None
        if order.policy.pool is not None:
            started = self.clocks.monotonic()
            granted = await self.pool.take(order.policy, order.request, candidates, timings)
            spent = self.clocks.monotonic() - started
        if granted is None:
            granted = await self._asked(candidates, timings, spent)
        started = self.clocks.monotonic()
        try:
            record = await self._save(order, granted)
        finally:
            timings.store_took("save", started, self.clocks.monotonic())
        return granted, record

    async def _asked(self, candidates: Sequence[Candidate], timings: Timings, spent: float) -> Granted:
        """Ask the provider; ``spent`` seconds of the deadline are over."""
        started = self.clocks.monotonic()
        try:
            return await self.attempts.mint(candidates, timings, spent=spent)
        finally:
            timings.provider += self.clocks.monotonic() - started

    async def _save(self, order: _Order, granted: Granted) -> HandleRecord:
        """Store a record under a fresh id; where a node of a Cluster fails, under an id of another node."""
        live, life = order.live, granted.life.seconds
        # The first id is the one that was counted, if any was.
        make = _maker(order.request)
        handle_id = live.handle_id if live is not None else self.store.place(make)
        for tries_left in reversed(range(_PLACES)):
            record = self._record(order, granted, handle_id)
            try:
                await self.store.save(
                    record, life=life, counted=live is not None, proof=self.sealer.prove(*record.stated)
                )
            except StoreUnavailable:
                if not tries_left or not self.store.elsewhere:
                    raise
                handle_id = self.store.place(make)
            else:
                return record
        raise AssertionError("the loop returns or raises")

    def _leash(self, client: Client, request: MintRequest, policy: ModelPolicy) -> int | None:
        """How long a call may last, in seconds; None for no limit of ours.

        Raises:
            InvalidRequest: the caller asks for more than the operator allows.
        """
        of_model = policy.max_call_seconds
        usual = self.policy.max_call_seconds if of_model is None else of_model
        bounds = [bound for bound in (usual, client.max_call_seconds) if bound is not None]
        most, asked = min(bounds, default=None), request.max_call_seconds
        if asked is None:
            return most
        if most is not None and asked > most:
            raise InvalidRequest(
                f"'max_call_seconds' must be {SHORTEST_CALL_SECONDS} to {most} for this model and client.",
                param="max_call_seconds",
            )
        return asked

    def _candidates(self, client: Client, request: MintRequest, route: Route) -> list[Candidate]:
        """The request as each deployment is to get it: under the policy, with the provider's names."""
        session = under_policy(route.policy, request.session, request.family)
        asked, identifier = seconds_within(route.policy, request), self._identifier(request)
        candidates = []
        for deployment in route.deployments:
            if request.family not in deployment.families:
                continue
            nested = self._nested_name(client, request, deployment)
            ready = with_models(request.family, session, nested=nested) if nested is not None else session
            seconds = asked if asked is not None or deployment.ephemeral_keys else usual_within(route.policy)
            asked_of = request.ready(route.model, ready, seconds=seconds, identifier=identifier)
            candidates.append(Candidate(deployment, asked_of))
        return candidates

    def _nested_name(self, client: Client, request: MintRequest, deployment: Deployment) -> str | None:
        """The provider's name of the nested model that the caller asked for.

        One that comes from the operator's policy is the provider's name already, and needs no leave.
        """
        if request.nested_model is None:
            return None
        return self.catalog.upstream_name(
            client, request.nested_model, deployment, param="session.audio.input.transcription.model"
        )

    def _identifier(self, request: MintRequest) -> str | None:
        """The caller's safety identifier, else one that hides the subject and stays the same for it."""
        if request.safety_identifier is not None or not request.subject or self.policy.subject_key is None:
            return request.safety_identifier
        return hmac.digest(self.policy.subject_key, request.subject.encode(), "sha256").hex()

    def _record(self, order: _Order, granted: Granted, handle_id: str) -> HandleRecord:
        client, request, policy = order.client, order.request, order.policy
        deployment, expires_at = granted.candidate.deployment, granted.life.expires_at
        max_calls = policy.max_calls if policy.max_calls is not None else self.policy.max_calls
        return HandleRecord(
            id=handle_id,
            model=request.model,
            deployment=deployment.name,
            provider=deployment.provider,
            family=str(request.family),
            client=client.name,
            subject=request.subject or "",
            origin=request.origin or "",
            minted_at=int(self.clocks.now()),
            expires_at=expires_at,
            minted_by=self.policy.replica,
            max_calls=max_calls,
            region=deployment.region or "",
            max_call_seconds=order.max_call_seconds or 0,
            bind_origin=request.binding.origin,
            bind_fingerprint=request.binding.fingerprint,
            sealed_key=seal_grant(self.sealer, granted.grant, handle_id, client.name, str(expires_at)),
        )


def _maker(request: MintRequest) -> Callable[[], str]:
    """What makes the ids of its handle."""
    return new_bound_handle_id if request.binding.fingerprint else new_handle_id
