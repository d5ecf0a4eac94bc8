"""The metrics of several processes are one target: nothing is counted twice, lost, or without its sense."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from app.telemetry import scrape as scraping
from app.telemetry import sideband_metrics
from app.telemetry.metrics import Metrics
from app.telemetry.parts import pool
from app.telemetry.scrape import scrape
from app.telemetry.timings import Timings, Try
from app.telemetry.workers.merged import GAUGES, Merged, WorkerStatus
from app.telemetry.workers.snapshots import departed, snapshot
from tests.support.families import FAMILIES

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


class Process:
    """One worker's metrics."""

    def __init__(self) -> None:
        self.metrics = Metrics(models=["one", "two"], deployments=["openai"])

    def mint(self, model: str, seconds: float) -> None:
        timings = Timings(model=model, deployment="openai", tries=[Try("openai", 0.3, "answered", 201)])
        self.metrics.answered("mint", 200, None, timings, seconds=seconds)

    async def told(self) -> bytes:
        return await snapshot(self.metrics.registry)


async def told_by(registry: CollectorRegistry) -> Any:
    return orjson.loads(await snapshot(registry))


async def values(merged: Merged, accept: str = "*/*") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, _ = await scrape(merged, accept)
    parse = plain_text if accept == "*/*" else open_metrics
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in parse(text.decode())
        for one in family.samples
    }


def sums(found: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str) -> float:
    return sum(value for (sample, _), value in found.items() if sample == name)


async def test_counters_and_histograms_are_sums() -> None:
    first, second = Process(), Process()
    first.mint("one", 0.4)
    second.mint("one", 0.02)
    second.mint("two", 0.02)
    told = {"0": orjson.loads(await first.told()), "1": orjson.loads(await second.told())}
    found = await values(Merged(told))
    assert sums(found, "cloakroom_mints_total") == 3
    assert sums(found, "cloakroom_request_duration_seconds_count") == 3
    mint = {"operation": "mint", "outcome": "ok"}
    name = "cloakroom_request_duration_seconds_bucket"
    assert found[name, frozenset({**mint, "le": "0.025"}.items())] == 2
    assert found[name, frozenset({**mint, "le": "+Inf"}.items())] == 3
    assert found["cloakroom_request_duration_seconds_sum", frozenset(mint.items())] == pytest.approx(0.44)


async def test_one_process_merged_is_the_text_that_it_has_alone() -> None:
    process = Process()
    process.mint("one", 0.4)
    merged = Merged({"0": orjson.loads(await process.told())})
    for accept in ("*/*", OPEN_METRICS):
        assert await scrape(merged, accept) == await scrape(process.metrics.registry, accept)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (scraping.IN_FLIGHT.name, {(): 3.0}),
        (sideband_metrics.OPEN.name, {(): 3.0}),
        (scraping.STORE_UP.name, {(): 1.0}),
        (scraping.DRAINING.name, {(): 2.0}),
        # Each worker reads the figures of the whole store.
        (pool.STOCK.name, {(): 2.0}),
        (pool.GOAL.name, {(): 2.0}),
        ("a_gauge_that_is_new", {(): 2.0}),
        (scraping.LOOP_TURN.name, {(("worker", "0"),): 1.0, (("worker", "1"),): 2.0}),
        ("process_resident_memory_bytes", {(("worker", "0"),): 1.0, (("worker", "1"),): 2.0}),
    ],
)
async def test_a_gauge_is_merged_by_its_sense(name: str, expected: dict[Any, float]) -> None:
    registries = []
    for value in (1, 2):
        registry = CollectorRegistry()
        Gauge(name, "Something.", registry=registry).set(value)
        registries.append(registry)
    told = {str(number): await told_by(registry) for number, registry in enumerate(registries)}
    found = await values(Merged(told))
    assert found == {(name, frozenset(labels)): value for labels, value in expected.items()}


def test_every_gauge_with_a_rule_is_there() -> None:
    assert GAUGES.keys() <= {family.name for family in FAMILIES if family.kind == "gauge"}


async def test_the_dead_leave_their_counts_and_nothing_that_is_of_now() -> None:
    first, second = Process(), Process()
    first.mint("one", 0.4)
    Gauge(scraping.IN_FLIGHT.name, "In flight.", registry=first.metrics.registry).set(5)
    Counter("process_cpu_seconds", "Its own.", registry=first.metrics.registry).inc(9)
    second.mint("one", 0.4)
    gone = departed(departed(b"", await first.told()), await second.told())
    names = {family[0] for family in orjson.loads(gone)}
    assert scraping.IN_FLIGHT.name not in names
    assert not {name for name in names if name.startswith("process_")}
    alive = Process()
    alive.mint("two", 0.4)
    found = await values(Merged({"0": orjson.loads(await alive.told()), "": orjson.loads(gone)}))
    assert sums(found, "cloakroom_mints_total") == 3
    assert sums(found, "cloakroom_provider_tries_total") == 3


async def test_the_latest_exemplar_stays() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    for registry, trace in ((first, "a" * 32), (second, "b" * 32)):
        histogram = Histogram("waits", "Waits.", registry=registry, buckets=(1.0,))
        histogram.observe(0.5, {"trace_id": trace})
        await asyncio.sleep(0.01)
    for order in ((first, second), (second, first)):
        told = {str(number): await told_by(registry) for number, registry in enumerate(order)}
        text, _ = await scrape(Merged(told), OPEN_METRICS)
        assert b"b" * 32 in text
        assert b"a" * 32 not in text


async def test_the_supervisors_view_of_the_workers_is_told() -> None:
    workers = [WorkerStatus(0, 71, up=True, restarts=0), WorkerStatus(1, None, up=False, restarts=2)]
    found = await values(Merged({}, workers), OPEN_METRICS)
    assert found == {
        ("cloakroom_worker_up", frozenset({("worker", "0")})): 1,
        ("cloakroom_worker_up", frozenset({("worker", "1")})): 0,
        ("cloakroom_worker_restarts_total", frozenset({("worker", "0")})): 0,
        ("cloakroom_worker_restarts_total", frozenset({("worker", "1")})): 2,
    }
