"""The ICE servers of a call: the provider's where it names some, else the operator's.

They are for the bearer of a handle, and spend nothing. A provider's are kept for a moment and never fetched
twice at once. Of the operator's, TURN servers with a shared secret get a fresh, short-lived credential.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.broker.calls.lookup import Lookup
from app.broker.claims import refused
from app.broker.routing.catalog import Catalog
from app.errors import CloakroomError
from app.models import Answer, Clocks, Deployment, HandleClaims, Secret
from app.outbound.upstream import NoAnswer, NotConnected, Upstream, failure_of
from app.providers.base import NamesIceServers, Provider
from app.providers.ice import AnswerWithServers, IceServer, turn_credential
from app.store.records.claims import Revoked
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.ice")

# How long a provider's servers are given again; their credentials, made for a call, live longer.
KEPT_SECONDS: Final = 60.0
# A provider that gave none is not asked by every request.
FAILURE_KEPT_SECONDS: Final = 5.0
# Enough that two users never share one, and no more than tells them apart.
_USER_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class OwnServers:
    """The operator's servers. Those of ``servers`` are given as they are.

    ``turn_urls`` are TURN servers that share ``secret`` with us; a credential for them lives ``lifetime``
    seconds. ``links``: the answers to offers name all of these servers, too.
    """

    servers: tuple[IceServer, ...] = ()
    turn_urls: tuple[tuple[str, ...], ...] = ()
    secret: Secret | None = None
    lifetime: int = 0
    links: bool = True

    def give(self, user: str, *, now: float) -> Given:
        """The servers, with fresh credentials for ``user``. ``now`` is epoch seconds."""
        if self.secret is None or not self.turn_urls:
            return Given(self.servers)
        secret, expires_at = self.secret.reveal().encode(), int(now) + self.lifetime
        # TURN servers log it, so it tells one user from another and not who it is.
        digest = hmac.digest(secret, user.encode(), hashlib.sha256).hex()[:_USER_DIGITS]
        username, password = turn_credential(secret, digest, expires_at=expires_at)
        fresh = tuple(IceServer(urls, username, password) for urls in self.turn_urls)
        return Given((*self.servers, *fresh), expires_at)


@dataclass(frozen=True, slots=True)
class Given:
    """The servers to use now. Their credentials hold until ``expires_at``, epoch seconds; None: not known."""

    servers: tuple[IceServer, ...] = field(repr=False)
    expires_at: int | None = None


@dataclass(slots=True)
class _Kept:
    """What a deployment's provider gave last, until when that counts, and who asks now."""

    servers: tuple[IceServer, ...] = field(default=(), repr=False)
    failure: CloakroomError | None = None
    until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True, kw_only=True)
class IceServers:
    """Finds the ICE servers for the bearer of a handle, at any replica.

    ``timeout`` is for a provider's answer, in seconds. Only ``own`` ever changes.
    """

    catalog: Catalog
    providers: Mapping[str, Provider]
    upstream: Upstream
    lookup: Lookup
    own: OwnServers
    timeout: float
    clocks: Clocks
    _kept: dict[str, _Kept] = field(default_factory=dict, repr=False)

    async def for_handle(self, handle: HandleClaims, timings: Timings) -> Given:
        """The servers for a call with this handle, also for one that is spent.

        Raises:
            HandleExpired, HandleRevoked, InvalidHandle: mint again.
            Draining: only replicas of a newer release can read the handle's record.
            StoreUnavailable: the record could not be read.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the provider names servers, and gave none;
                and the operator has none.
        """
        held = await self.lookup.find(handle, timings)
        if held.revoked:
            raise refused(handle.id, Revoked())
        timings.model, timings.deployment = held.model, held.deployment
        own = self.own.give(_user(held.client, held.subject, handle.id), now=self.clocks.now())
        deployment = self.catalog.deployment(held.deployment)
        if deployment is None:
            return own
        provider = self.providers[deployment.provider]
        if not isinstance(provider, NamesIceServers):
            return own
        started = self.clocks.monotonic()
        try:
            return Given(await self._provided(deployment, provider))
        except CloakroomError:
            if not own.servers:
                raise
            return own
        finally:
            timings.provider += self.clocks.monotonic() - started

    def beside_answer(
        self, answer: Answer, handle_id: str, *, client: str, subject: str
    ) -> tuple[IceServer, ...]:
        """The servers to name beside the answer to an offer: those that came with it, else the operator's.

        None at all where the operator wants no such headers.
        """
        if not self.own.links:
            return ()
        if isinstance(answer, AnswerWithServers) and answer.ice_servers:
            return answer.ice_servers
        return self.own.give(_user(client, subject, handle_id), now=self.clocks.now()).servers

    async def _provided(self, deployment: Deployment, provider: NamesIceServers) -> tuple[IceServer, ...]:
        kept = self._kept.setdefault(deployment.name, _Kept())
        async with kept.asking:
            if self.clocks.monotonic() >= kept.until:
                await self._ask(deployment, provider, kept)
        if kept.failure is not None:
            raise kept.failure.with_traceback(None)
        return kept.servers

    async def _ask(self, deployment: Deployment, provider: NamesIceServers, kept: _Kept) -> None:
        try:
            request = provider.ice_servers_request(deployment)
            response = await self.upstream.get(request, timeout=self.timeout)
            kept.servers, kept.failure = provider.read_ice_servers(deployment, response), None
        except (NotConnected, NoAnswer) as failure:
            kept.failure = failure_of(failure)
        except CloakroomError as failure:
            kept.failure = failure
        kept.until = self.clocks.monotonic() + (
            KEPT_SECONDS if kept.failure is None else FAILURE_KEPT_SECONDS
        )
        if kept.failure is not None:
            log.warning("ice_servers_not_given", deployment=deployment.name, code=kept.failure.answer_code)


def _user(client: str, subject: str, handle_id: str) -> str:
    """Whom a credential is for: the client's user where it is known, else the bearer of the handle."""
    return f"{client}\0{subject}" if subject else f"\0{handle_id}"
