"""The metrics of several processes as one target: what they are worth together.

A worker tells its metrics as a snapshot, in JSON. The worker that was asked for ``/metrics`` merges its own
with those of the others.

prometheus-client has files in shared memory for this. They hold no exemplars and nothing that is read at a
scrape, and each count would cost a write to such a file.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from app.telemetry import identity_metrics, metrics, scrape, sideband_metrics, usage
from app.telemetry.metrics import Family
from app.telemetry.scrape import read

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
    # One worker may have more to do than the others.
    scrape.LOOP_TURN.name: "each",
    scrape.SHEDDING.name: "each",
}
# Memory, CPU time, open files and the collector are of a process.
_OF_PROCESSES: Final = ("process_", "python_")
# A sample as it is told: name, labels, value, exemplar. A family: name, type, help text, samples.
_Sample = tuple[str, dict[str, str], float | None, list[Any] | None]
_Told = tuple[str, str, str, list[_Sample]]
_Key = tuple[str, tuple[tuple[str, str], ...]]


def how(name: str, kind: str) -> How:
    """How the values of a family become one."""
    if name.startswith(_OF_PROCESSES):
        return "each"
    return GAUGES.get(name, "max") if kind == "gauge" else "sum"


async def snapshot(collector: Collector) -> bytes:
    """All metrics of this process. A family is read at once; the event loop turns after each."""
    parts = []
    for family in collector.collect():
        parts.append(orjson.dumps(_tell(family)))
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"


def departed(before: bytes, last: bytes) -> bytes:
    """Add the last snapshot of a process that has ended to those before; either may be empty.

    Only what is summed over processes stays, since a rate over a sum that falls would be wrong.
    """
    kept = [
        [
            family
            for family in orjson.loads(told)
            if family[1] != "gauge" and how(family[0], family[1]) == "sum"
        ]
        for told in (before, last)
        if told
    ]
    merged = Merged({str(number): families for number, families in enumerate(kept)})
    return orjson.dumps([_tell(family) for family in merged.collect()])


def _tell(family: Metric) -> _Told:
    samples: list[_Sample] = [
        # orjson takes no named tuples.
        (one.name, one.labels, one.value, list(one.exemplar) if one.exemplar is not None else None)
        for one in family.samples
    ]
    return family.name, family.type, family.documentation, samples


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

    def __init__(self, told: Mapping[str, Iterable[_Told]], workers: Sequence[WorkerStatus] = ()) -> None:
        self._workers = workers
        self._told = {worker: {family[0]: family for family in families} for worker, families in told.items()}

    def collect(self) -> Iterator[Metric]:
        """Yield each family with the values of all."""
        names = dict.fromkeys(name for families in self._told.values() for name in families)
        for name in names:
            found = {worker: families[name] for worker, families in self._told.items() if name in families}
            yield _merge(found)
        if self._workers:
            yield read(WORKER_UP, {(str(one.worker),): one.up for one in self._workers})
            yield read(WORKER_RESTARTS, {(str(one.worker),): one.restarts for one in self._workers})


@dataclass(slots=True)
class _Value:
    value: float
    exemplar: list[Any] | None = field(default=None)


def _merge(found: Mapping[str, _Told]) -> Metric:
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
