"""What the metrics of several workers come to, and what the supervisor knows of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.samples import Exemplar

from app.telemetry import identity_metrics, metrics, scrape, sideband_metrics, usage
from app.telemetry.metrics import Family

WORKER_UP: Final = Family("cloakroom_worker_up", "gauge", ("worker",), "1 while this worker serves.")
WORKER_RESTARTS: Final = Family(
    "cloakroom_worker_restarts_total",
    "counter",
    ("worker",),
    "How often this worker ended unasked, since the replica's start.",
)

# ``each``: every worker for itself, with the label ``worker``.
How = Literal["sum", "max", "min", "each"]
WORKER_LABEL: Final = "worker"

# Of gauges; one that is not here is a state that counts when any worker has it: the highest value.
GAUGES: Final[Mapping[str, How]] = {
    scrape.IN_FLIGHT.name: "sum",
    scrape.IN_FLIGHT_LIMIT.name: "sum",
    scrape.TASKS.name: "sum",
    scrape.HELD_CALLS.name: "sum",
    scrape.SETTLEMENTS_PENDING.name: "sum",
    sideband_metrics.OPEN.name: "sum",
    usage.WATCHED.name: "sum",
    scrape.STORE_UP.name: "min",
    scrape.STORE_NODE_UP.name: "min",
    metrics.DEPLOYMENT_UP.name: "min",
    identity_metrics.KEYS_TIME.name: "min",
    scrape.SECRETS_TIME.name: "min",
    # One worker may have more to do than the others.
    scrape.LOOP_TURN.name: "each",
    scrape.SHEDDING.name: "each",
}
# Memory, CPU time, open files and the collector are of a process.
_OF_PROCESSES: Final = ("process_", "python_")
# A sample as it is told: name, labels, value, exemplar. A family: name, type, help text, samples.
Sample = tuple[str, dict[str, str], float | None, list[Any] | None]
Told = tuple[str, str, str, list[Sample]]
_Key = tuple[str, tuple[tuple[str, str], ...]]


def how(name: str, kind: str) -> How:
    """How the values of a family become one."""
    if name.startswith(_OF_PROCESSES):
        return "each"
    return GAUGES.get(name, "max") if kind == "gauge" else "sum"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker, as the supervisor knows it. ``pid`` is None while no process runs."""

    worker: int
    pid: int | None
    up: bool
    restarts: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"worker": self.worker, "pid": self.pid, "up": self.up, "restarts": self.restarts}


class Merged:
    """Snapshots as one collector. A family is merged when it is asked for.

    Args:
        told: the families of each worker, by its number.
        workers: what the supervisor knows of each.
    """

    def __init__(self, told: Mapping[str, Iterable[Told]], workers: Sequence[WorkerStatus] = ()) -> None:
        self._workers = workers
        self._told = {worker: {family[0]: family for family in families} for worker, families in told.items()}

    def collect(self) -> Iterator[Metric]:
        """Yield each family with the values of all."""
        names = dict.fromkeys(name for families in self._told.values() for name in families)
        for name in names:
            found = {worker: families[name] for worker, families in self._told.items() if name in families}
            yield _merge(found)
        if self._workers:
            up = GaugeMetricFamily(WORKER_UP.name, WORKER_UP.meaning, labels=WORKER_UP.labels)
            restarts = CounterMetricFamily(
                WORKER_RESTARTS.name, WORKER_RESTARTS.meaning, labels=WORKER_RESTARTS.labels
            )
            for one in self._workers:
                up.add_metric([str(one.worker)], one.up)
                restarts.add_metric([str(one.worker)], one.restarts)
            yield from (up, restarts)


@dataclass(slots=True)
class _Value:
    value: float
    exemplar: list[Any] | None = field(default=None)


def _merge(found: Mapping[str, Told]) -> Metric:
    name, kind, meaning, _ = next(iter(found.values()))
    way = how(name, kind)
    values: dict[_Key, _Value] = {}
    for worker, (_, _, _, samples) in found.items():
        more = ((WORKER_LABEL, worker),) if way == "each" else ()
        for sample, labels, number, exemplar in samples:
            value = math.nan if number is None else number
            key = sample, (*labels.items(), *more)
            known = values.get(key)
            if known is None:
                values[key] = _Value(value, exemplar)
                continue
            known.value = _together(way, known.value, value)
            known.exemplar = _later(known.exemplar, exemplar)
    merged = Metric(name, meaning, kind)
    for (sample, labels_of), held in values.items():
        merged.add_sample(
            sample, dict(labels_of), held.value, exemplar=Exemplar(*held.exemplar) if held.exemplar else None
        )
    return merged


def _together(way: How, one: float, other: float) -> float:
    if way == "sum":
        return one + other
    return min(one, other) if way == "min" else max(one, other)


def _later(one: list[Any] | None, other: list[Any] | None) -> list[Any] | None:
    """The exemplar of the two that was seen last."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other, key=lambda exemplar: exemplar[2] or 0.0)
