"""A real Prometheus over three replicas, one of them with two workers.

Each panel shows something, each rule works, an outage is noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Final

import aiohttp
import pytest

from app.models import USUAL_MODEL
from tests.support import api
from tests.support.clocks import eventually
from tests.support.issuer import issuers
from tests.support.page import ROOT
from tests.support.prometheus import Prometheus
from tests.support.stack import Stack
from tests.unit.deploy.alert_rules import RULES
from tests.unit.deploy.promql import filled_in

DASHBOARD: Final = json.loads((ROOT / "deploy" / "grafana" / "cloakroom.json").read_text(encoding="utf-8"))
MODELS: Final = {USUAL_MODEL: {"deployments": "openai", "pool": {"target": 20}}}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(
        peer="static",
        CLOAKROOM_STORE_TIMEOUT_SECONDS="2",
        CLOAKROOM_ISSUERS=issuers(),
        CLOAKROOM_MODELS=json.dumps(MODELS),
    ) as own:
        yield own


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    several = stack.replica("replica-c", CLOAKROOM_WORKERS="2")
    targets = [replica.url.removeprefix("http://") for replica in (stack.a, stack.b, several)]
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets=targets, rules=[RULES]) as running:
        yield running


async def some_of_everything(stack: Stack, http: aiohttp.ClientSession) -> None:
    key = stack.planted.client_key
    signed_in = await asyncio.to_thread(
        stack.sandbox.control, "POST", "issuer/tokens", {"claims": {"sub": "ada"}}
    )
    for mints_at, relays_at in ((stack.a, stack.b), (stack.b, stack.a)):
        handle = await api.minted(http, mints_at.url, key)
        call_id = await api.called(http, relays_at.url, handle)
        report = {"outcome": "connected", "after_ms": 800}
        assert (await api.report(http, mints_at.url, handle, call_id, report)).status == 204
        assert (await api.hang_up(http, mints_at.url, key, call_id)).status == 200
        assert (await api.mint(http, mints_at.url, signed_in["token"])).status == 200
        assert (await api.relay(http, relays_at.url, "not-a-handle")).status == 401
        assert (await api.mint(http, mints_at.url, key, {"model": "unknown"})).status in (400, 404)


async def until(true: Callable[[], Any], *, what: Callable[[], object]) -> None:
    await eventually(lambda: asyncio.to_thread(true), what)


# Of models whose end is known; a replica that works well has none.
NOTHING_TO_SHOW: Final = {"Models that end"}


async def test_every_panel_shows_something_of_replicas_that_work(
    stack: Stack, prometheus: Prometheus, http: aiohttp.ClientSession
) -> None:
    empty = {
        (one["title"], filled_in(target["expr"]))
        for one in DASHBOARD["panels"]
        for target in one.get("targets", [])
        if one["title"] not in NOTHING_TO_SHOW
    }
    assert len(empty) >= 40

    def look() -> bool:
        empty.difference_update({(title, expr) for title, expr in empty if prometheus.query(expr)})
        return not empty

    async def traffic() -> None:
        while True:
            await some_of_everything(stack, http)
            await asyncio.sleep(0.5)

    busy = asyncio.create_task(traffic())
    try:
        await until(look, what=lambda: empty)
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def test_every_rule_is_evaluated_and_replicas_that_work_fire_none(prometheus: Prometheus) -> None:
    await until(
        lambda: {rule["health"] for rule in prometheus.rules().values()} == {"ok"}, what=prometheus.rules
    )
    firing = {name for name, rule in prometheus.rules().items() if rule.get("state") == "firing"}
    assert firing == set()


async def test_a_store_that_hangs_is_noticed(stack: Stack, prometheus: Prometheus) -> None:
    os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        await until(
            lambda: prometheus.rules()["CloakroomStoreDown"]["state"] != "inactive", what=prometheus.rules
        )
    finally:
        os.kill(stack.engine.pid, signal.SIGCONT)
    await until(
        lambda: prometheus.rules()["CloakroomStoreDown"]["state"] == "inactive", what=prometheus.rules
    )
