"""Makes prometheus-client's families of our numbers, one family at a time."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.samples import Exemplar

from app import __version__
from app.telemetry import metrics_families as families
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_census import Census
from app.telemetry.metrics_families import Family
from app.telemetry.metrics_values import Histogram


@dataclass(frozen=True, slots=True)
class State:
    """What is true now, asked when somebody scrapes. Every function returns at once."""

    store_up: Callable[[], bool]
    cooling: Callable[[], Iterable[str]]
    deployments: Sequence[str]
    in_flight: Callable[[], int]
    in_flight_limit: int
    draining: Callable[[], bool]
    settlements_pending: Callable[[], int]
    settlements_given_up: Callable[[], int]
    census: Census


class Collector:
    """All families of one service, in no registry of the process: several services may live in one."""

    def __init__(self, metrics: Metrics, state: State) -> None:
        self._metrics = metrics
        self._state = state
        self._process = ProcessCollector(registry=None)
        self._garbage = CollectorRegistry()
        GCCollector(registry=self._garbage)

    def collect(self) -> Iterator[Metric]:
        """Yield each family as it is at that moment."""
        yield from self._counters()
        yield from self._histograms()
        yield from self._gauges()
        yield from self._process.collect()
        yield from self._garbage.collect()

    def _counters(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _counter(families.MINTS, metrics.operations["mint"])
        yield _counter(families.RELAYS, metrics.operations["relay"])
        yield _counter(families.HANGUPS, metrics.operations["hangup"])
        yield _counter(families.CLAIMS_REFUSED, metrics.claims_refused)
        yield _counter(families.RESPONSES, metrics.responses)
        yield _counter(families.REFUSALS, metrics.refusals)
        yield _counter(families.TRIES, metrics.tries)
        yield _counter(families.SETTLEMENTS_GIVEN_UP, {(): self._state.settlements_given_up()})

    def _histograms(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _histogram(families.DURATION, metrics.duration)
        yield _histogram(families.OVERHEAD, metrics.overhead)
        yield _histogram(families.PROVIDER, metrics.provider)
        yield _histogram(families.STORE, metrics.store)

    def _gauges(self) -> Iterator[Metric]:
        state = self._state
        alive, cooling = state.census.latest(), frozenset(state.cooling())
        yield _gauge(families.STORE_UP, {(): state.store_up()})
        yield _gauge(
            families.DEPLOYMENT_UP, {(name,): up for name, up in self._metrics.deployments_up.items()}
        )
        yield _gauge(families.DEPLOYMENT_COOLING, {(name,): name in cooling for name in state.deployments})
        yield _gauge(families.IN_FLIGHT, {(): state.in_flight()})
        yield _gauge(families.IN_FLIGHT_LIMIT, {(): state.in_flight_limit})
        yield _gauge(families.DRAINING, {(): state.draining()})
        yield _gauge(families.HANDLES_ALIVE, {} if alive is None else {(): alive.handles})
        yield _gauge(families.CALLS_ALIVE, {} if alive is None else {(): alive.calls})
        yield _gauge(families.SETTLEMENTS_PENDING, {(): state.settlements_pending()})
        yield _gauge(families.BUILD, {(__version__, platform.python_version()): 1})


def _counter(family: Family, counts: Mapping[tuple[str, ...], int]) -> Metric:
    metric = CounterMetricFamily(family.name.removesuffix("_total"), family.meaning, labels=family.labels)
    for labels, value in counts.items():
        metric.add_metric(labels, value)
    return metric


def _gauge(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    metric = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, series: Mapping[tuple[str, ...], Histogram]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, histogram in series.items():
        metric.add_metric(labels, list(_buckets(histogram)), histogram.total)
    return metric


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
    below = 0
    for number, count in enumerate(histogram.counts):
        below += count
        bound = repr(histogram.bounds[number]) if number < len(histogram.bounds) else "+Inf"
        found = histogram.exemplars.get(number)
        if found is None:
            yield bound, below
        else:
            trace_id, value, when = found
            yield bound, below, Exemplar({"trace_id": trace_id}, value, when)
