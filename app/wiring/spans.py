"""Spans that begin with no request."""

from __future__ import annotations

from app.broker.metering.meter import UsageRecord
from app.broker.routing.catalog import Catalog
from app.telemetry.tracing import Tracing
from app.telemetry.usage import OPERATION, span_attributes


def tell_span(spans: Tracing, catalog: Catalog, record: UsageRecord) -> None:
    """Make a span of a metered call; one whose end is not known has no duration."""
    started = record.call.relayed_at
    if not started:
        return
    deployment = catalog.deployment(record.call.deployment)
    attributes = span_attributes(deployment.provider if deployment is not None else "", record.fields())
    spans.record(
        f"{OPERATION} {record.call.model}", attributes, started=started, ended=record.ended_at or started
    )
