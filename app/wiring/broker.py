"""Makes the use cases of one service, over the parts that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.broker.allowance import Allowance
from app.broker.calls.hangup import CallProofs, Hangup
from app.broker.calls.held import HeldCalls, HeldSockets
from app.broker.calls.ice import IceServers
from app.broker.calls.lookup import Lookup
from app.broker.calls.reports import Reports
from app.broker.calls.sideband import Attacher, Sidebands
from app.broker.claims import Claims
from app.broker.deadlines.orphans import Orphans
from app.broker.deadlines.overdue import OverdueCalls
from app.broker.late import LateAnswers
from app.broker.metering.meter import ATTACHING_AT_ONCE, HOLD_SECONDS, Meter, UsageRecord
from app.broker.metering.watch import Around
from app.broker.mint import Minter, MintPolicy
from app.broker.mint_limits import MintLimits
from app.broker.outcomes import Outcomes, RelayPolicy
from app.broker.pool.counts import PoolCounts
from app.broker.pool.refill import Refill
from app.broker.pool.shelf import Shelf
from app.broker.pool.warm import WarmPool
from app.broker.relay import Relay
from app.broker.routing.attempts import MintAttempts
from app.broker.routing.breaker import Breakers
from app.broker.routing.catalog import Catalog
from app.broker.security.events import SecurityLog
from app.broker.settlement import Settlement
from app.handles.sealing import Sealer
from app.handles.tokens import HandleIssuer
from app.models import Client, Clocks
from app.outbound.upstream import Upstream
from app.providers.registry import PROVIDERS
from app.providers.usage import kinds_of
from app.settings import Settings
from app.store.connection import StoreConnection
from app.store.pools import PoolStore
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines
from app.store.records.handles import HandleStore
from app.store.records.watches import Watches
from app.telemetry.call_metrics import CallMetrics
from app.telemetry.timings import Timings
from app.telemetry.usage import UsageMetrics
from app.wiring.ice import build_ice
from app.wiring.parts import build_replication, reveal

# A mark lasts so much longer than a mint may take, in seconds: its key may wait for the store.
POOL_MARGIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What several use cases work with."""

    catalog: Catalog
    sealer: Sealer
    upstream: Upstream
    held: HeldSockets
    store: StoreConnection
    calls: CallStore
    handles: HandleIssuer
    clients: Mapping[str, Client]
    settlement: Settlement
    counts: CallMetrics
    breakers: Breakers
    security: SecurityLog
    clocks: Clocks
    pool_counts: PoolCounts


class Broker:
    """The use cases. What they have in common is made once.

    Attributes:
        shared: the parts that it was made with.
        replication: what the handles' writes wait for, None where they wait for nothing; to be closed.
        pool: hands out keys that were minted ahead; to be closed. ``pools`` is what lies in the store.
        late: the answers that come too late; to be closed.
        orphans: notes calls that no browser holds.
        hangup: ends calls.
    """

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._settings = settings
        self.shared = shared
        self._sealer = shared.sealer
        self.replication: Final = build_replication(settings, shared.store)
        self._handles = HandleStore(
            shared.store,
            replica=settings.replica,
            replication=self.replication,
            unknown_is_final=settings.hangup_lost_calls,
        )
        self._attempts = MintAttempts(
            providers=PROVIDERS,
            upstream=shared.upstream,
            deadline=settings.mint_timeout_seconds,
            clocks=shared.clocks,
            breakers=shared.breakers,
        )
        self.pools: Final = PoolStore(shared.store, replication=self.replication)
        self.pool: Final = self._pool(shared.pool_counts)
        self._deadlines = CallDeadlines(shared.store)
        self._allowance = Allowance(self._sealer, shared.clients)
        self.late: Final = LateAnswers(shared.upstream)
        self.orphans: Final = self._orphans()
        self.hangup: Final = Hangup(
            catalog=shared.catalog,
            providers=PROVIDERS,
            upstream=shared.upstream,
            calls=shared.calls,
            settlement=shared.settlement,
            security=shared.security,
            proofs=CallProofs(shared.sealer, required=settings.require_call_proofs),
            replica=settings.replica,
            deadline=settings.mint_timeout_seconds,
            clocks=shared.clocks,
            end_held=shared.held.end,
        )

    def minter(self) -> Minter:
        settings, shared = self._settings, self.shared
        return Minter(
            catalog=shared.catalog,
            attempts=self._attempts,
            pool=self.pool,
            handles=shared.handles,
            allowance=self._allowance,
            limits=MintLimits(self._handles, settings.mint_timeout_seconds, shared.clocks),
            sealer=self._sealer,
            store=self._handles,
            policy=MintPolicy(
                replica=settings.replica,
                max_calls=settings.handle_max_calls,
                max_call_seconds=settings.max_call_seconds,
                subject_key=reveal(settings.subject_key).encode() if settings.subject_key else None,
            ),
            clocks=shared.clocks,
        )

    def relay(self) -> Relay:
        settings, shared = self._settings, self.shared
        policy = RelayPolicy(
            replica=settings.replica,
            timeout=settings.relay_timeout_seconds,
            replay_window=settings.replay_window_seconds,
            call_retention=settings.call_retention_seconds,
        )
        outcomes = Outcomes(
            store=self._handles,
            sealer=self._sealer,
            settlement=shared.settlement,
            orphans=self.orphans,
            policy=policy,
            clocks=shared.clocks,
            metered=partial(shared.catalog.metered, usually=settings.metering),
        )
        return Relay(
            catalog=shared.catalog,
            providers=PROVIDERS,
            upstream=shared.upstream,
            sealer=self._sealer,
            claims=Claims(
                store=self._handles,
                sealer=self._sealer,
                outcomes=outcomes,
                allowance=self._allowance,
                policy=policy,
                security=shared.security,
                clocks=shared.clocks,
            ),
            outcomes=outcomes,
            orphans=self.orphans,
            late=self.late if settings.hangup_lost_calls else None,
            breakers=shared.breakers,
            security=shared.security,
            timeout=settings.relay_timeout_seconds,
            monotonic=shared.clocks.monotonic,
        )

    def ice_servers(self) -> IceServers:
        settings, shared = self._settings, self.shared
        return IceServers(
            catalog=shared.catalog,
            providers=PROVIDERS,
            upstream=shared.upstream,
            lookup=self.lookup(),
            own=build_ice(settings.ice),
            timeout=settings.mint_timeout_seconds,
            clocks=shared.clocks,
        )

    def lookup(self) -> Lookup:
        shared = self.shared
        return Lookup(
            store=self._handles, sealer=self._sealer, security=shared.security, clocks=shared.clocks
        )

    def reports(self) -> Reports:
        shared = self.shared
        return Reports(calls=shared.calls, count=shared.counts.reported, clocks=shared.clocks)

    def overdue(self) -> OverdueCalls:
        return OverdueCalls(
            deadlines=self._deadlines,
            calls=self.shared.calls,
            hangup=self.hangup,
            count=self.shared.counts.overdue,
            clocks=self.shared.clocks,
        )

    def held_calls(self) -> HeldCalls:
        return HeldCalls(sockets=self.shared.held, hangup=self.hangup)

    def sidebands(self, sockets: Attacher) -> Sidebands:
        return Sidebands(
            hangup=self.hangup,
            providers=PROVIDERS,
            sockets=sockets,
            calls=self.shared.calls,
            deadline=self._settings.mint_timeout_seconds,
        )

    def meter(
        self,
        sidebands: Sidebands,
        counts: UsageMetrics,
        *,
        tried: Callable[[Timings], None],
        tell: Callable[[UsageRecord], None],
    ) -> Meter:
        """The meter; ``tried`` counts a handshake, ``tell`` takes each record."""
        settings, shared = self._settings, self.shared
        return Meter(
            watches=Watches(shared.store, hold=HOLD_SECONDS, records=settings.metering_records),
            calls=shared.calls,
            around=Around(
                sidebands=sidebands,
                calls=shared.calls,
                attaching=asyncio.Semaphore(ATTACHING_AT_ONCE),
                grown=lambda model, figures: counts.grown(
                    model, kinds_of(figures), live_seconds=figures.get("live_seconds", 0)
                ),
                tried=tried,
                clocks=shared.clocks,
            ),
            counts=counts,
            tell=tell,
            most=settings.metering_max,
        )

    def _pool(self, counts: PoolCounts) -> WarmPool:
        shared = self.shared
        shelf = Shelf(store=self.pools, sealer=self._sealer, counts=counts, clocks=shared.clocks)
        refill = Refill(
            shelf,
            self._attempts,
            shared.breakers,
            clocks=shared.clocks,
            hold=self._settings.mint_timeout_seconds + POOL_MARGIN_SECONDS,
        )
        return WarmPool(shelf, refill)

    def _orphans(self) -> Orphans:
        grace, window = self._settings.undelivered_grace_seconds, self._settings.replay_window_seconds
        return Orphans(
            deadlines=self._deadlines,
            calls=self.shared.calls,
            settlement=self.shared.settlement,
            # While the answer is kept, a browser may still get it.
            grace=max(grace, window) if grace else 0.0,
            hang_up_lost=self._settings.hangup_lost_calls,
            count=self.shared.counts.orphaned,
            clocks=self.shared.clocks,
        )
