"""How the warm pools stand, for scrapes and for the other replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.broker.pool.overview import Document, pauses, told
from app.broker.pool.standing import PoolStanding, standings
from app.broker.pool.warm import WarmPool
from app.broker.routing.breaker import Breakers
from app.broker.routing.catalog import Catalog
from app.broker.session_policy import PoolPolicy
from app.store.pools import PoolStore
from app.telemetry.census import Census
from app.telemetry.parts.pool import PoolMetrics


def watch_pools(
    metrics: PoolMetrics,
    policies: Mapping[str, PoolPolicy],
    store: PoolStore,
    *,
    monotonic: Callable[[], float],
) -> Census[Mapping[str, PoolStanding]]:
    """Let scrapes tell how each pool stands. The census that reads it is to be closed.

    Args:
        policies: of the models that have a pool, by alias.
        monotonic: returns seconds.
    """

    async def look() -> Mapping[str, PoolStanding]:
        return {found.model: found for found in await standings(store, policies, metrics)}

    census = Census(look, monotonic=monotonic)
    # Without a pool nobody asks the store.
    metrics.watch(census.latest if policies else dict)
    return census


def tell_pools(catalog: Catalog, breakers: Breakers, pool: WarmPool) -> Document:
    """What this replica tells the others of its pools."""
    return told(catalog.pools, pauses(catalog, breakers, pool.rests))
