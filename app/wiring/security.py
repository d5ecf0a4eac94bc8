"""Makes what takes security events, from the settings."""

from __future__ import annotations

from typing import Final

from app.broker.security.delivery import Deliveries
from app.broker.security.events import KINDS, SecurityLog
from app.broker.security.messages import Messages
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.models import Clocks
from app.outbound.egress import Egress
from app.outbound.webhook import Webhook, parse_webhook_secrets
from app.settings import Settings
from app.store.connection import StoreConnection
from app.store.records.notices import Notices
from app.store.records.suspicions import Suspicions
from app.telemetry.metrics import Metrics
from app.telemetry.security_metrics import SecurityMetrics
from app.wiring.parts import reveal

# Of all replicas together: some megabytes at the store.
MOST_NOTICES: Final = 1000


def build_security(
    settings: Settings, metrics: Metrics, store: StoreConnection, egress: Egress, clocks: Clocks
) -> SecurityLog:
    """The log of security events, with the webhook where one is set. Make it inside the running loop."""
    counts, suspicions = SecurityMetrics(metrics, KINDS), Suspicions(store)
    if settings.security_webhook_url is None:
        return SecurityLog(metrics=counts, suspicions=suspicions, clocks=clocks)
    sealer = Sealer(parse_sealing_ring(reveal(settings.sealing_keys)))
    messages, notices = Messages(sealer, replica=settings.replica), Notices(store, most=MOST_NOTICES)
    deliveries = Deliveries(
        notices=notices,
        messages=messages,
        webhook=build_webhook(settings, egress, clocks),
        metrics=counts,
        clocks=clocks,
    )
    return SecurityLog(
        metrics=counts,
        suspicions=suspicions,
        clocks=clocks,
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
