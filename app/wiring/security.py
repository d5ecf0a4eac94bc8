"""Makes what takes security events, from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.broker.security.delivery import Deliveries
from app.broker.security.events import KINDS, SecurityLog
from app.broker.security.messages import Messages
from app.handles.sealing import Sealer
from app.models import Clocks
from app.outbound.egress import Egress
from app.outbound.webhook import Webhook, parse_webhook_secrets
from app.settings import Settings
from app.store.connection import StoreConnection
from app.store.records.notices import Notices
from app.store.records.suspicions import Suspicions
from app.telemetry.metrics import Metrics
from app.telemetry.parts.security import SecurityMetrics
from app.wiring.parts import reveal

# Of all replicas together: about a megabyte at the store.
MOST_NOTICES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What security events need of the rest of the service."""

    metrics: Metrics
    sealer: Sealer
    store: StoreConnection
    egress: Egress
    clocks: Clocks


def build_security(settings: Settings, beside: Beside) -> SecurityLog:
    """The log of security events, with the webhook where one is set. Make it inside the running loop."""
    counts, suspicions = SecurityMetrics(beside.metrics, KINDS), Suspicions(beside.store)
    if settings.security_webhook_url is None:
        return SecurityLog(metrics=counts, suspicions=suspicions, clocks=beside.clocks)
    messages = Messages(beside.sealer, replica=settings.replica)
    notices = Notices(beside.store, most=MOST_NOTICES)
    deliveries = Deliveries(
        notices=notices,
        messages=messages,
        webhook=build_webhook(settings, beside.egress, beside.clocks),
        metrics=counts,
        clocks=beside.clocks,
    )
    return SecurityLog(
        metrics=counts,
        suspicions=suspicions,
        clocks=beside.clocks,
        messages=messages,
        notices=notices,
        deliveries=deliveries,
    )


def build_webhook(settings: Settings, egress: Egress, clocks: Clocks) -> Webhook:
    """The way to the webhook, which is set. Make it inside the running loop."""
    return Webhook(
        reveal(settings.security_webhook_url),
        parse_webhook_secrets(reveal(settings.security_webhook_secret)),
        egress=egress,
        connect_timeout=settings.connect_timeout_seconds,
        clock=clocks.now,
    )
