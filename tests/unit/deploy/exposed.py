"""What a replica that has seen some of everything tells: its metrics, their labels, what may stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from app.broker.deadlines.overdue import OUTCOMES
from app.broker.metering.watch import HOWS
from app.broker.security.events import KINDS as SECURITY_KINDS
from app.identity.tokens import REASONS as TOKEN_REASONS
from app.providers.usage import KINDS
from app.reports import OUTCOMES as REPORTED
from app.telemetry.call_metrics import OVERDUE_REASONS
from app.telemetry.identity_metrics import FETCHES, KEYS_TIME, TOKENS, VERDICTS
from app.telemetry.metrics import (
    CLAIM_REFUSALS,
    CODES,
    HANDLERS,
    NONE,
    OPERATIONS,
    STATUSES,
)
from app.telemetry.parts.pool import GOAL, KEYS, STOCK, TAKES
from app.telemetry.parts.pool import OUTCOMES as KEY_OUTCOMES
from app.telemetry.parts.pool import RESULTS as TAKE_RESULTS
from app.telemetry.parts.protection import ANSWERS, CUTS
from app.telemetry.parts.protection import VERDICTS as SHARE_VERDICTS
from app.telemetry.parts.security import DELIVERY_RESULTS, DROP_REASONS
from app.telemetry.scrape import MODEL_END
from app.telemetry.sideband_metrics import CLOSINGS
from app.telemetry.workers.merged import WORKER_LABEL, WORKER_RESTARTS, WORKER_UP, how
from tests.support.service import Service

# No model of this service ends or has a warm pool, and it has no identity provider, so these have no value.
_WITHOUT_VALUES: Final = {
    one.name.removesuffix("_total"): one
    for one in (MODEL_END, TOKENS, FETCHES, KEYS_TIME, KEYS, TAKES, STOCK, GOAL)
}
# What Prometheus adds to each series that it scrapes.
SCRAPED: Final = frozenset({"job", "instance"})
# ``success`` of each operation, and how one request to a provider ended: docs/metrics.md.
_OUTCOMES: Final = {
    *("ok", "replayed", "gone", "repeated"),
    *(*CODES.values(), *OUTCOMES, *REPORTED, *KEY_OUTCOMES),
}
_RESULTS: Final = {"ok", "refused", "rate_limited", "failed", "unreachable", "timeout", "cut_off"}
VALUES: Final[Mapping[str, set[str]]] = {
    "outcome": _OUTCOMES,
    "code": {NONE, *CODES},
    "reason": {*CLAIM_REFUSALS.values(), *OVERDUE_REASONS, *CLOSINGS, *CUTS, *DROP_REASONS},
    "answer": set(ANSWERS),
    "result": {*_RESULTS, *DELIVERY_RESULTS, *TAKE_RESULTS},
    "operation": {*OPERATIONS, "sideband"},
    "handler": set(HANDLERS),
    "kind": {*KINDS, *SECURITY_KINDS},
    "verdict": {*VERDICTS, *TOKEN_REASONS, *SHARE_VERDICTS},
    "metered": set(HOWS),
    "status": set(STATUSES),
    "job": {"cloakroom"},
}


async def exposed(service: Service) -> dict[str, frozenset[str]]:
    """The labels of every metric by the name that a query uses, after some of everything."""
    handle = await service.minted()
    call_id = await service.called(handle)
    report = {"outcome": "connected", "after_ms": 1}
    path, headers = f"/v1/realtime/calls/{call_id}/report", {"Authorization": f"Bearer {handle}"}
    assert (await service.post(path, json=report, headers=headers)).status == 204
    assert (await service.hang_up(handle, call_id)).status == 200
    assert (await service.relay("not-a-handle")).status == 401
    assert (await service.mint({"model": "gpt-realtime-2.1", "session": 7})).status == 400
    await _scrape(service)
    # What is alive is counted in the background, for the next scrape.
    for _ in range(200):
        found = await _scrape(service)
        if "cloakroom_handles_alive" in found:
            return found
    raise AssertionError("handles alive are never told")


async def _scrape(service: Service) -> dict[str, frozenset[str]]:
    async with service.http.get(f"{service.base}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    found: dict[str, frozenset[str]] = {"up": SCRAPED}
    # This service is one process. One of several workers tells these, and has a label more.
    found |= {one.name: SCRAPED | frozenset(one.labels) for one in (WORKER_UP, WORKER_RESTARTS)}
    for family in text_string_to_metric_families(text):
        if not family.samples and family.name in _WITHOUT_VALUES:
            one = _WITHOUT_VALUES[family.name]
            found[one.name] = SCRAPED | frozenset(one.labels)
        for sample in family.samples:
            more = {WORKER_LABEL} if how(sample.name, family.type) == "each" else set()
            found[sample.name] = found.get(sample.name, SCRAPED) | frozenset(sample.labels) | more
    return found
