"""The composition root: the only place where the parts are wired together.

``create_app`` builds everything from the settings; each thing that must be closed is owned by the one
``cleanup_ctx`` generator below that opened it. aiohttp closes them in reverse order, so that settlements
end before the store they write to, and the store before nothing that needs it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from aiohttp import web

from app.broker.attempts import MintAttempts
from app.broker.breaker import Breakers
from app.broker.catalog import Catalog
from app.broker.claims import Claims, RelayPolicy
from app.broker.deadlines.late import LateAnswers
from app.broker.deadlines.orphans import Orphans
from app.broker.deadlines.overdue import OverdueCalls
from app.broker.desk import Desk
from app.broker.hangup import Hangup
from app.broker.mint import Minter, MintPolicy
from app.broker.relay import Relay
from app.broker.retirement import Radar
from app.broker.settlement import Settlement
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.sealing import Sealer
from app.handles.tokens import HandleIssuer
from app.models import Clocks
from app.outbound.client import UpstreamClient
from app.outbound.upstream import Upstream
from app.providers.registry import PROVIDERS
from app.settings import Settings
from app.store.calls import CallStore
from app.store.deadlines import CallDeadlines
from app.store.events import EventFeed
from app.store.handles import HandleStore
from app.store.listing.directory import HandleDirectory
from app.telemetry.call_metrics import CallMetrics
from app.telemetry.census import Census
from app.telemetry.logs import RequestLog
from app.telemetry.metrics import Metrics
from app.telemetry.scrape import State, expose
from app.telemetry.tracing import PassingOn, Tracing
from app.web.answers import Refusal, answer_headers, overloaded
from app.web.appkeys import (
    ADMISSION,
    CLIENTS,
    DESK,
    HANDLES,
    HANGUP,
    LIFECYCLE,
    METRICS,
    MINTER,
    ORPHANS,
    REFUSAL,
    RELAY,
    SETTINGS,
    STORE,
    Lifecycle,
)
from app.web.cors import CorsPolicy
from app.web.gate import Reporting, gate
from app.web.listener.admission import Admission
from app.web.routes import health_routes, operations_routes, routes
from app.wiring import (
    build_admins,
    build_catalog,
    build_clients,
    build_egress,
    build_replication,
    build_store,
    reveal,
    token_keepers,
)

FIRST_TOKEN_SECONDS: Final = 5.0


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.perf_counter,
    tracing: Tracing | None = None,
) -> web.Application:
    """Build the service.

    Args:
        settings: from ``load_settings``.
        clock: returns epoch seconds; tests pass their own.
        monotonic: returns seconds.
        tracing: where traces begin; without it one that comes in is passed on.

    Raises:
        WiringError: a deployment's URL or the store's is unusable.
    """
    cors = CorsPolicy(settings.cors_origins, own_origin=settings.public_url)
    egress = build_egress(settings)
    catalog = build_catalog(settings, clock=clock, egress=egress)
    metrics = Metrics(models=catalog.names, deployments=catalog.deployments)
    store = build_store(settings)
    feed = EventFeed(store, replica=settings.replica, clock=clock)
    headers = answer_headers(cors, replica=settings.replica if settings.demo_enabled else None)
    outer = gate(
        headers,
        Reporting(
            RequestLog(replica=settings.replica, level=settings.log_level),
            metrics,
            tracing or PassingOn(),
            feed,
        ),
        max_in_flight=settings.max_in_flight,
    )
    app = web.Application(middlewares=[outer])
    app[SETTINGS] = settings
    app[LIFECYCLE] = Lifecycle()
    app[ADMISSION] = admission = Admission()
    app[REFUSAL] = Refusal(overloaded(), headers, metrics.refused_at_once(overloaded()))
    app[CLIENTS] = build_clients(settings)
    app[HANDLES] = HandleIssuer(
        parse_signing_ring(reveal(settings.signing_keys)), prefix=settings.handle_prefix, clock=clock
    )
    app[STORE] = store
    app[METRICS] = metrics
    app[DESK] = Desk(
        handles=HandleDirectory(store),
        calls=CallStore(store, retention=settings.call_retention_seconds),
        feed=feed,
        clock=clock,
        replica=settings.replica,
        admins=build_admins(settings),
    )

    async def parts(app: web.Application) -> AsyncIterator[None]:
        settlement = Settlement(monotonic)
        store.later = lambda writes: settlement.write_later("beside", writes)
        keepers = token_keepers(catalog.deployments)
        upstream: Upstream = UpstreamClient(connect_timeout=settings.connect_timeout_seconds, egress=egress)
        breakers = Breakers(monotonic)
        radar = Radar(catalog, partial(upstream.get, timeout=settings.mint_timeout_seconds), clock=clock)
        broker = _Broker(app, catalog, upstream, settlement, Clocks(clock, monotonic))
        app[ORPHANS], app[HANGUP] = broker.orphans(), broker.hangup()
        app[MINTER], app[RELAY], overdue = broker.minter(breakers), broker.relay(), broker.overdue()
        census = Census(app[DESK].alive, monotonic=monotonic)
        expose(
            metrics.registry,
            State(
                store_up=lambda: store.up,
                store_nodes=lambda: store.nodes,
                cooling=breakers.cooling,
                closed=breakers.closed,
                deployments=sorted(catalog.deployments),
                model_ends=radar.end_times,
                in_flight=lambda: app[LIFECYCLE].in_flight,
                in_flight_limit=settings.max_in_flight,
                shedding=lambda: admission.shedding,
                loop_turn=lambda: admission.turn,
                tasks=lambda: len(asyncio.all_tasks()),
                draining=lambda: app[LIFECYCLE].draining,
                settlements_pending=lambda: settlement.pending,
                settlements_given_up=lambda: settlement.given_up,
                census=census,
            ),
        )
        await store.probe()
        store.start()
        overdue.start()
        # The first caller should find a token, and a service whose other deployments work should start.
        await asyncio.gather(*(tokens.start(wait=FIRST_TOKEN_SECONDS) for tokens in keepers))
        radar.start()
        yield
        await radar.close()
        await census.close()
        await overdue.close(grace=settings.store_timeout_seconds)
        await broker.late.close(grace=settings.store_timeout_seconds)
        await settlement.close(grace=settings.store_timeout_seconds * 3)
        await asyncio.gather(*(tokens.close() for tokens in keepers))
        await upstream.close()
        await feed.close()
        if broker.replication is not None:
            await broker.replication.close()
        await store.close()

    app.cleanup_ctx.append(parts)
    app.on_shutdown.append(_end_watches)
    app.add_routes(routes(settings))
    return app


class _Broker:
    """The use cases of one service, over the parts that they share."""

    def __init__(
        self,
        app: web.Application,
        catalog: Catalog,
        upstream: Upstream,
        settlement: Settlement,
        clocks: Clocks,
    ) -> None:
        self._app = app
        self._settings = settings = app[SETTINGS]
        self._catalog = catalog
        self._upstream = upstream
        self._settlement = settlement
        self._clocks = clocks
        self.replication = build_replication(settings, app[STORE])
        self._store = HandleStore(
            app[STORE],
            replica=settings.replica,
            replication=self.replication,
            unknown_is_final=settings.hangup_lost_calls,
        )
        self._deadlines = CallDeadlines(app[STORE])
        self._counts = CallMetrics(app[METRICS])
        self.late = LateAnswers(upstream)
        self._sealer = Sealer(parse_sealing_ring(reveal(settings.sealing_keys)))

    def minter(self, breakers: Breakers) -> Minter:
        settings = self._settings
        return Minter(
            catalog=self._catalog,
            attempts=MintAttempts(
                providers=PROVIDERS,
                upstream=self._upstream,
                deadline=settings.mint_timeout_seconds,
                clocks=self._clocks,
                breakers=breakers,
            ),
            handles=self._app[HANDLES],
            sealer=self._sealer,
            store=self._store,
            policy=MintPolicy(
                replica=settings.replica,
                max_calls=settings.handle_max_calls,
                subject_key=reveal(settings.subject_key).encode() if settings.subject_key else None,
            ),
            clocks=self._clocks,
        )

    def relay(self) -> Relay:
        settings = self._settings
        claims = Claims(
            store=self._store,
            sealer=self._sealer,
            settlement=self._settlement,
            orphans=self._app[ORPHANS],
            policy=RelayPolicy(
                replica=settings.replica,
                timeout=settings.relay_timeout_seconds,
                replay_window=settings.replay_window_seconds,
                call_retention=settings.call_retention_seconds,
            ),
            clocks=self._clocks,
        )
        return Relay(
            catalog=self._catalog,
            providers=PROVIDERS,
            upstream=self._upstream,
            sealer=self._sealer,
            claims=claims,
            orphans=self._app[ORPHANS],
            late=self.late if settings.hangup_lost_calls else None,
            timeout=settings.relay_timeout_seconds,
            monotonic=self._clocks.monotonic,
        )

    def orphans(self) -> Orphans:
        grace, window = self._settings.undelivered_grace_seconds, self._settings.replay_window_seconds
        return Orphans(
            deadlines=self._deadlines,
            calls=self._app[DESK].calls,
            settlement=self._settlement,
            # While the answer is kept, a browser may still get it.
            grace=max(grace, window) if grace else 0.0,
            hang_up_lost=self._settings.hangup_lost_calls,
            count=self._counts.orphaned,
            clocks=self._clocks,
        )

    def overdue(self) -> OverdueCalls:
        return OverdueCalls(
            deadlines=self._deadlines,
            calls=self._app[DESK].calls,
            hangup=self._app[HANGUP],
            count=self._counts.overdue,
            clocks=self._clocks,
        )

    def hangup(self) -> Hangup:
        return Hangup(
            catalog=self._catalog,
            providers=PROVIDERS,
            upstream=self._upstream,
            calls=self._app[DESK].calls,
            settlement=self._settlement,
            replica=self._settings.replica,
            deadline=self._settings.mint_timeout_seconds,
            clocks=self._clocks,
        )


def create_operations_app(app: web.Application) -> web.Application:
    """What the operations port serves: the same parts, behind the same gate, and no way to mint or relay.

    It begins after the service that it is made of, and ends before it.
    """
    operations = web.Application(middlewares=list(app.middlewares))

    async def share(operations: web.Application) -> None:
        for key in app:
            operations[key] = app[key]

    operations.on_startup.append(share)
    operations.on_shutdown.append(_end_watches)
    operations.add_routes([*health_routes(), *operations_routes()])
    return operations


async def _end_watches(app: web.Application) -> None:
    # Before requests in flight are waited for: a watch would last an hour.
    app[DESK].feed.end_watches()
