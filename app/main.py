"""The composition root: here and in ``app.wiring`` the parts are put together, and nowhere else.

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

from app.broker.identities import Identities
from app.broker.metering.watch import HOWS
from app.broker.routing.breaker import Breakers
from app.broker.routing.retirement import Radar
from app.broker.settlement import Settlement
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.sealing import Sealer
from app.handles.tokens import HandleIssuer
from app.models import BearerTokens, Clocks
from app.operations import end_streams
from app.outbound.client import UpstreamClient
from app.outbound.exchange import Exchanges
from app.outbound.keeping.issuer_keys import IssuerKeys
from app.outbound.pool import CONNECTIONS
from app.outbound.sideband import SidebandClient
from app.outbound.upstream import Upstream
from app.providers.usage import KINDS
from app.settings import Settings, SettingsSource
from app.store.events import EventFeed
from app.telemetry.call_metrics import CallMetrics
from app.telemetry.census import Census
from app.telemetry.identity_metrics import IdentityMetrics
from app.telemetry.logs import RequestLog
from app.telemetry.metrics import Metrics
from app.telemetry.parts.pool import PoolMetrics
from app.telemetry.scrape import Scrapes, State, expose
from app.telemetry.sideband_metrics import SidebandMetrics
from app.telemetry.tracing import PassingOn, Tracing
from app.telemetry.usage import UsageMetrics
from app.web.answers import answer_headers
from app.web.appkeys import (
    CLIENTS,
    DESK,
    EARLY,
    HANDLES,
    HANGUP,
    ICE_SERVERS,
    IDENTITIES,
    LIFECYCLE,
    LOOKUP,
    METER,
    METRICS,
    MINTER,
    OPEN_SIDEBANDS,
    ORPHANS,
    RELAY,
    RELOADER,
    REPORTS,
    SCRAPES,
    SETTINGS,
    SIDEBANDS,
    STORE,
    Lifecycle,
)
from app.web.callers import UnparsedCallers
from app.web.calls.sideband import OpenSidebands
from app.web.cors import CorsPolicy, HostPolicy
from app.web.gate import Reporting, gate
from app.web.listener.early import early_refusals
from app.web.routes import routes
from app.wiring import (
    Beside,
    Broker,
    Reloader,
    SecretHolders,
    Shared,
    build_catalog,
    build_client_tokens,
    build_clients,
    build_desk,
    build_egress,
    build_issuer_keys,
    build_security,
    build_store,
    reveal,
    tell_pools,
    tell_span,
    token_keepers,
    watch_pools,
)

FIRST_TOKEN_SECONDS: Final = 5.0
# At the end: to write what security events wait and to send what is due, and for keys that are being minted.
LAST_GRACE_SECONDS: Final = 5.0


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.perf_counter,
    tracing: Tracing | None = None,
    source: SettingsSource | None = None,
) -> web.Application:
    """Build the service.

    Args:
        settings: from ``load_settings``.
        clock: returns epoch seconds; tests pass their own.
        monotonic: returns seconds.
        tracing: where traces begin; without it one that comes in is passed on.
        source: what the settings were read from, where secrets are to be read again.

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
    app = web.Application()
    app[SETTINGS], app[LIFECYCLE] = settings, Lifecycle()
    app[EARLY] = early = early_refusals(settings, app[LIFECYCLE], headers, metrics, UnparsedCallers(app))
    reporting = Reporting(
        RequestLog(replica=settings.replica, level=settings.log_level, shared=settings.workers != 1),
        metrics,
        tracing or PassingOn(),
        feed,
    )
    app.middlewares.append(gate(headers, reporting, app[LIFECYCLE], early, hosts=_hosts(settings)))
    client_tokens = build_client_tokens(settings, clock=clock)
    app[CLIENTS] = build_clients(settings, tokens=client_tokens)
    app[HANDLES] = HandleIssuer(
        parse_signing_ring(reveal(settings.signing_keys)), prefix=settings.handle_prefix, clock=clock
    )
    app[STORE] = store
    app[METRICS], app[SCRAPES] = metrics, Scrapes(metrics.registry)
    app[OPEN_SIDEBANDS] = OpenSidebands(SidebandMetrics(metrics), most=settings.sideband_max)
    app[DESK] = build_desk(settings, store, feed, clock=clock)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        settlement = Settlement(monotonic)
        store.later = lambda writes: settlement.write_later("beside", writes)
        verdicts = IdentityMetrics(metrics, settings.issuers, clock=clock)
        issuers = build_issuer_keys(settings, verdicts, clock=clock, egress=egress)

        def keepers() -> list[BearerTokens | IssuerKeys]:
            return [*token_keepers(catalog.deployments), *(keys for _, keys in issuers.values())]

        if issuers:
            app[IDENTITIES] = Identities(
                issuers,
                clients=app[CLIENTS].by_name,
                tokens=client_tokens,
                token_seconds=settings.client_token_seconds,
                count=verdicts.judged,
                clock=clock,
            )
        connecting = settings.connect_timeout_seconds
        sockets = SidebandClient(
            connect_timeout=connecting, largest=settings.sideband_max_event_bytes, egress=egress
        )
        client: Upstream = UpstreamClient(
            connect_timeout=connecting, egress=egress, connections=_connections(settings)
        )
        upstream = Exchanges(client, sockets, handshake_seconds=2 * connecting, most=settings.held_calls_max)
        breakers, clocks = Breakers(monotonic), Clocks(clock, monotonic)
        pool_counts = PoolMetrics(metrics, catalog.pools)
        sealer = Sealer(parse_sealing_ring(reveal(settings.sealing_keys)))
        security = build_security(
            settings, Beside(metrics=metrics, sealer=sealer, store=store, egress=egress, clocks=clocks)
        )
        radar = Radar(catalog, partial(upstream.get, timeout=settings.mint_timeout_seconds), clock=clock)
        broker = Broker(
            settings,
            Shared(
                catalog=catalog,
                sealer=sealer,
                upstream=upstream,
                held=upstream,
                store=store,
                calls=app[DESK].calls,
                handles=app[HANDLES],
                clients=app[CLIENTS].by_name,
                settlement=settlement,
                counts=CallMetrics(metrics),
                breakers=breakers,
                security=security,
                clocks=clocks,
                pool_counts=pool_counts,
            ),
        )
        app[ORPHANS], app[HANGUP] = broker.orphans, broker.hangup
        app[REPORTS], app[ICE_SERVERS] = broker.reports(), broker.ice_servers()
        app[LOOKUP] = broker.lookup()
        app[SIDEBANDS] = broker.sidebands(sockets)
        usage, spans = UsageMetrics(metrics), tracing or PassingOn()
        app[METER] = meter = broker.meter(
            app[SIDEBANDS],
            usage,
            tried=app[OPEN_SIDEBANDS].metrics.tried,
            tell=partial(tell_span, spans, catalog),
        )
        usage.watch(lambda: meter.watched)
        usage.expose(catalog.names, hows=HOWS, kinds=KINDS)
        app[MINTER], app[RELAY], overdue = broker.minter(), broker.relay(), broker.overdue()
        served = (app[CLIENTS], app[DESK].admins, client_tokens, app[MINTER], app[ICE_SERVERS])
        reloader = Reloader(source, settings, SecretHolders(broker.shared, *served, egress.certificates))
        app[RELOADER] = reloader
        reloader.keys.pools = partial(tell_pools, catalog, breakers, broker.pool)
        held = broker.held_calls()
        upstream.on_end = held.ended
        census = Census(app[DESK].alive, monotonic=monotonic)
        pool_census = watch_pools(pool_counts, catalog.pools, app[DESK].pools, monotonic=monotonic)
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
                shedding=lambda: early.admission.shedding,
                loop_turn=lambda: early.admission.turn,
                tasks=lambda: len(asyncio.all_tasks()),
                draining=lambda: app[LIFECYCLE].draining,
                held_calls=lambda: upstream.holding,
                settlements_pending=lambda: settlement.pending,
                settlements_given_up=lambda: settlement.given_up,
                census=census,
                reload=reloader.state,
            ),
        )
        await store.probe()
        store.start()
        overdue.start()
        security.start()
        held.start()
        if settings.metering or catalog.meters:
            meter.start()
        # The first caller should find a token, and a service whose other deployments work should start.
        await asyncio.gather(*(kept.start(wait=FIRST_TOKEN_SECONDS) for kept in keepers()))
        radar.start()
        reloader.start()
        yield
        await reloader.close()
        await radar.close()
        await census.close()
        await pool_census.close()
        grace = min(settings.shutdown_seconds, LAST_GRACE_SECONDS)
        await broker.pool.close(grace=grace)
        await meter.close()
        await overdue.close(grace=settings.store_timeout_seconds)
        await broker.late.close(grace=settings.store_timeout_seconds)
        await held.close()
        await security.close(grace=grace)
        await settlement.close(grace=settings.store_timeout_seconds * 3)
        await asyncio.gather(*(kept.close() for kept in keepers()))
        await upstream.close()
        await sockets.close()
        await feed.close()
        if broker.replication is not None:
            await broker.replication.close()
        await store.close()

    app.cleanup_ctx.append(parts)
    app.on_shutdown.append(end_streams)
    app.add_routes(routes(settings))
    return app


def _hosts(settings: Settings) -> HostPolicy | None:
    """The names of the service; None where any will do."""
    if not settings.allowed_hosts:
        return None
    return HostPolicy(settings.allowed_hosts, public_url=settings.public_url)


def _connections(settings: Settings) -> int:
    """Connections to providers: as many as requests may be in flight, so that none waits for another's."""
    # Fair shares may double the limit for a moment.
    return max(CONNECTIONS, 2 * settings.max_in_flight)
