"""Typed keys for everything that is attached to the application or to a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from app.broker.calls.hangup import Hangup
from app.broker.calls.ice import IceServers
from app.broker.calls.lookup import Lookup
from app.broker.calls.reports import Reports
from app.broker.calls.sideband import Sidebands
from app.broker.clients import ClientRegistry
from app.broker.deadlines.orphans import Orphans
from app.broker.desk import Desk
from app.broker.identities import Identities
from app.broker.metering.meter import Meter
from app.broker.mint import Minter
from app.broker.relay import Relay
from app.handles.tokens import HandleIssuer
from app.settings import Settings
from app.store.connection import StoreConnection
from app.telemetry.metrics import Metrics
from app.telemetry.scrape import Scrapes
from app.telemetry.timings import Timings
from app.web.calls.sideband import OpenSidebands
from app.web.listener.early import EarlyRefusals
from app.wiring import Reloader


@dataclass(slots=True)
class Lifecycle:
    """Whether the process is draining, and how many requests are in flight."""

    draining: bool = False
    in_flight: int = 0


@dataclass(slots=True)
class LogLine:
    """What a view adds to its request's one log line. It must hold no secret."""

    event: str
    timings: Timings = field(default_factory=Timings)
    fields: dict[str, Any] = field(default_factory=dict)


SETTINGS: Final = web.AppKey("settings", Settings)
CLIENTS: Final = web.AppKey("clients", ClientRegistry)
HANDLES: Final = web.AppKey("handles", HandleIssuer)
IDENTITIES: Final = web.AppKey("identities", Identities)
MINTER: Final = web.AppKey("minter", Minter)
RELAY: Final = web.AppKey("relay", Relay)
ORPHANS: Final = web.AppKey("orphans", Orphans)
HANGUP: Final = web.AppKey("hangup", Hangup)
ICE_SERVERS: Final = web.AppKey("ice_servers", IceServers)
LOOKUP: Final = web.AppKey("lookup", Lookup)
REPORTS: Final = web.AppKey("reports", Reports)
SIDEBANDS: Final = web.AppKey("sidebands", Sidebands)
OPEN_SIDEBANDS: Final = web.AppKey("open_sidebands", OpenSidebands)
METER: Final = web.AppKey("meter", Meter)
RELOADER: Final = web.AppKey("reloader", Reloader)
STORE: Final = web.AppKey("store", StoreConnection)
METRICS: Final = web.AppKey("metrics", Metrics)
SCRAPES: Final = web.AppKey("scrapes", Scrapes)
DESK: Final = web.AppKey("desk", Desk)
LIFECYCLE: Final = web.AppKey("lifecycle", Lifecycle)
EARLY: Final = web.AppKey("early", EarlyRefusals)

REQUEST_ID: Final = web.RequestKey("request_id", str)
TIMINGS: Final = web.RequestKey("timings", Timings)
LOG_LINE: Final = web.RequestKey("log_line", LogLine)
