"""The mint: authenticate came before; here limits, provider, seal, store, sign, in this order.

The store is asked whether it is there before the provider is asked for a key, and a key whose record
could not be stored is dropped: nobody ever gets a raw key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.catalog import Catalog
from app.errors import CloakroomError, RateLimited, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.handles import HandleIssuer, new_handle_id
from app.lifetimes import Life, life_of
from app.models import Client, Deployment, EphemeralKey, HandleRecord, MintRequest, Timings
from app.sealing import Sealer
from app.session_echo import clean_session
from app.store.handles import HandleStore
from app.upstream.base import Provider, UpstreamRequest, UpstreamResponse, retry_seconds
from app.upstream.client import NoAnswer, NotConnected, UpstreamClient

# Minting is safe to repeat: an unused key costs nothing and expires by itself.
MAX_TRIES: Final = 3
RETRY_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
# A 429 that no waiting mends (contracts, section 1).
_HOPELESS_CODES: Final = frozenset({"insufficient_quota"})
_BACKOFF_SECONDS: Final = 0.1
# One stalled try must leave time for another within the deadline.
_SHARE_OF_A_TRY: Final = 0.6
# A try that starts with less than this left would only turn the cause into a timeout.
_LEAST_SHARE_OF_A_TRY: Final = 0.2

SEAL_PURPOSE: Final = "ephemeral-key"


@dataclass(frozen=True, slots=True)
class Minted:
    """What the caller gets. ``expires_at`` is epoch seconds; ``session`` is the provider's echo, cleaned."""

    handle_id: str
    handle: str = field(repr=False)
    expires_at: int
    session: Mapping[str, Any] = field(repr=False)
    deployment: str


@dataclass(frozen=True, slots=True)
class MintPolicy:
    """``deadline`` in seconds for all tries together; ``max_calls`` of each handle, 0 for no limit."""

    replica: str
    deadline: float
    max_calls: int


class Minter:
    """Mints an ephemeral key and leaves it in the store under a fresh handle."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        upstream: UpstreamClient,
        handles: HandleIssuer,
        sealer: Sealer,
        store: HandleStore,
        policy: MintPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._upstream = upstream
        self._handles = handles
        self._sealer = sealer
        self._store = store
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic

    async def mint(self, client: Client, request: MintRequest, timings: Timings) -> Minted:
        """Mint for this client.

        Raises:
            ModelNotFound, ModelNotAllowed, RateLimited: before anything is asked of the provider.
            StoreUnavailable: before, when the store is known to be down; after, when it failed then.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the provider's fault.
        """
        deployment = self._catalog.resolve(client, request.model)
        self._store.require_up()
        await self._count(client, timings)
        started = self._monotonic()
        try:
            key, life = await self._mint_upstream(deployment, request)
        finally:
            timings.provider += self._monotonic() - started
        record = self._record(client, request, deployment, key, life)
        started = self._monotonic()
        try:
            await self._store.save(record, life=life.seconds)
        finally:
            timings.store += self._monotonic() - started
        handle = self._handles.issue(record.id, expires_at=life.expires_at)
        return Minted(
            handle_id=record.id,
            handle=handle,
            expires_at=life.expires_at,
            session=clean_session(key, model=request.model, handle=handle, expires_at=life.expires_at),
            deployment=deployment.name,
        )

    async def _count(self, client: Client, timings: Timings) -> None:
        if client.mints_per_minute is None:
            return
        started, now = self._monotonic(), self._clock()
        count = await self._store.count_mint(client.name, now=now)
        timings.store += self._monotonic() - started
        if count > client.mints_per_minute:
            raise RateLimited(
                f"Client '{client.name}' may mint {client.mints_per_minute} handles a minute.",
                retry_after=60 - int(now) % 60,
            )

    def _record(
        self, client: Client, request: MintRequest, deployment: Deployment, key: EphemeralKey, life: Life
    ) -> HandleRecord:
        handle_id = new_handle_id()
        return HandleRecord(
            id=handle_id,
            model=request.model,
            deployment=deployment.name,
            provider=deployment.provider,
            family=request.family.value,
            client=client.name,
            subject=request.subject or "",
            origin=request.origin or "",
            minted_at=int(self._clock()),
            expires_at=life.expires_at,
            minted_by=self._policy.replica,
            max_calls=self._policy.max_calls,
            sealed_key=self._sealer.seal(
                key.value.reveal().encode(), SEAL_PURPOSE, handle_id, client.name, str(life.expires_at)
            ),
        )

    async def _mint_upstream(self, deployment: Deployment, request: MintRequest) -> tuple[EphemeralKey, Life]:
        provider = self._providers[deployment.provider]
        upstream_request = provider.mint_request(deployment, request)
        deadline = self._monotonic() + self._policy.deadline
        tries = 0
        while True:
            tries += 1
            result = await self._try(upstream_request, deadline)
            if isinstance(result, UpstreamResponse):
                try:
                    key = provider.read_mint(deployment, result)
                except UpstreamError as error:
                    if result.status not in RETRY_STATUSES or error.upstream_code in _HOPELESS_CODES:
                        raise
                    result, wait = error, retry_seconds(result.headers.get("Retry-After"))
                else:
                    return key, life_of(key, result.headers.get("Date"), now=self._clock())
            else:
                wait = None
            pause = wait if wait is not None else _BACKOFF_SECONDS * 2**tries * random.uniform(0.5, 1)  # noqa: S311
            worthwhile = self._monotonic() + pause + self._policy.deadline * _LEAST_SHARE_OF_A_TRY < deadline
            if tries == MAX_TRIES or not worthwhile:
                raise result
            await asyncio.sleep(pause)

    async def _try(self, request: UpstreamRequest, deadline: float) -> UpstreamResponse | CloakroomError:
        left = max(deadline - self._monotonic(), 0.001)
        try:
            return await self._upstream.post(
                request, timeout=min(left, self._policy.deadline * _SHARE_OF_A_TRY)
            )
        except NotConnected:
            return UpstreamUnreachable("The provider cannot be reached.", retry_after=1)
        except NoAnswer as failure:
            if failure.timed_out:
                return UpstreamTimeout("The provider did not answer in time.")
            return UpstreamError("The provider broke off its answer.")
