"""The operators' desk, from the settings."""

from __future__ import annotations

from collections.abc import Callable

from app.broker.desk import Desk
from app.settings import Settings
from app.store.connection import StoreConnection
from app.store.events import EventFeed
from app.store.listing.directory import HandleDirectory
from app.store.listing.stops import CallStops
from app.store.pools import PoolStore
from app.store.records.calls import CallStore
from app.wiring.identity import build_admins


def build_desk(
    settings: Settings, store: StoreConnection, feed: EventFeed, *, clock: Callable[[], float]
) -> Desk:
    """What the operators' requests need; ``clock`` returns epoch seconds."""
    calls, directory = CallStore(store, retention=settings.call_retention_seconds), HandleDirectory(store)
    return Desk(
        handles=directory,
        calls=calls,
        stops=CallStops(store, calls, directory),
        pools=PoolStore(store),
        feed=feed,
        clock=clock,
        replica=settings.replica,
        admins=build_admins(settings),
    )
