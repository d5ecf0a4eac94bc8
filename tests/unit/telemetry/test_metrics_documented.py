"""``docs/metrics.md`` is what dashboards and alerts are built from, so it says exactly what is exposed."""

from __future__ import annotations

import re
from pathlib import Path

from app.broker.deadlines.overdue import OUTCOMES
from app.broker.metering.watch import HOWS
from app.broker.security.events import KINDS as SECURITY_KINDS
from app.errors import StoreUnavailable
from app.identity.tokens import REASONS as TOKEN_REASONS
from app.providers.usage import KINDS
from app.store.records.deadlines import REASONS
from app.telemetry.call_metrics import OVERDUE_REASONS, CallMetrics
from app.telemetry.census import Alive, Census
from app.telemetry.identity_metrics import FETCH_RESULTS, VERDICTS, IdentityMetrics
from app.telemetry.metrics import CLAIM_REFUSALS, CODES, HANDLERS, Metrics
from app.telemetry.parts.pool import OUTCOMES as KEY_OUTCOMES
from app.telemetry.parts.pool import RESULTS, PoolMetrics
from app.telemetry.parts.protection import ANSWERS, CUTS, ProtectionMetrics
from app.telemetry.parts.protection import VERDICTS as SHARE_VERDICTS
from app.telemetry.parts.security import DELIVERY_RESULTS, DROP_REASONS, SecurityMetrics
from app.telemetry.scrape import State, expose
from app.telemetry.sideband_metrics import CLOSINGS, SOURCES, SidebandMetrics
from app.telemetry.usage import UsageMetrics
from app.telemetry.workers.merged import WORKER_RESTARTS, WORKER_UP
from app.wiring.keys_in_force import ReloadState
from tests.support.families import FAMILIES

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
_ROW = re.compile(r"\| `(cloakroom_\w+)` \| (\w+) \| (.*?) ?\| (.+) \|")
_CODE = re.compile(r"`([a-z0-9_]+)`")


def test_the_table_is_every_family_as_it_is() -> None:
    rows = [
        (name, kind, tuple(_CODE.findall(labels)), meaning)
        for name, kind, labels, meaning in _ROW.findall(DOCUMENT)
    ]
    assert rows == [(family.name, family.kind, family.labels, family.meaning) for family in FAMILIES]


async def test_every_family_is_exposed_and_nothing_else_of_ours() -> None:
    async def nobody() -> Alive:
        raise StoreUnavailable("Away.")

    state = State(
        store_up=lambda: True,
        store_nodes=lambda: {"primary": True},
        cooling=list,
        closed=list,
        deployments=(),
        model_ends=dict,
        in_flight=lambda: 0,
        in_flight_limit=1,
        shedding=lambda: False,
        loop_turn=lambda: 0.0,
        tasks=lambda: 1,
        draining=lambda: False,
        held_calls=lambda: 0,
        settlements_pending=lambda: 0,
        settlements_given_up=lambda: 0,
        census=Census(nobody, monotonic=lambda: 0.0),
        reload=ReloadState(good_at=0.0),
    )
    metrics = Metrics(models=(), deployments=())
    registry = metrics.registry
    CallMetrics(metrics)
    SidebandMetrics(metrics)
    IdentityMetrics(metrics, (), clock=lambda: 0.0)
    SecurityMetrics(metrics, SECURITY_KINDS)
    PoolMetrics(metrics, ()).watch(dict)
    UsageMetrics(metrics)
    ProtectionMetrics(metrics)
    expose(registry, state)
    exposed = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type, family.documentation)
        for family in registry.collect()
        if family.name.startswith("cloakroom_")
    }
    # A replica of several workers adds these, which its supervisor knows.
    added = {WORKER_UP, WORKER_RESTARTS}
    assert exposed == {
        (family.name, family.kind, family.meaning) for family in FAMILIES if family not in added
    }


def test_a_deadline_is_counted_by_the_reason_that_the_store_has_for_it() -> None:
    assert OVERDUE_REASONS == REASONS


def test_every_word_that_a_label_can_be_is_explained() -> None:
    words = set(_CODE.findall(DOCUMENT))
    errors = set(
        _CODE.findall((Path(__file__).parents[3] / "docs" / "errors.md").read_text(encoding="utf-8"))
    )
    assert {*HANDLERS, *CLAIM_REFUSALS.values(), *OVERDUE_REASONS, *OUTCOMES, *CLOSINGS, *SOURCES} <= words
    assert {*KINDS, *HOWS} <= words
    assert {*ANSWERS, *CUTS, *SHARE_VERDICTS} <= words
    assert {*VERDICTS, *TOKEN_REASONS, *FETCH_RESULTS} <= words
    assert {*SECURITY_KINDS, *DELIVERY_RESULTS, *DROP_REASONS} <= words
    assert {*KEY_OUTCOMES, *RESULTS} <= words
    assert CODES.keys() <= words | errors
    assert set(CODES.values()) <= words
