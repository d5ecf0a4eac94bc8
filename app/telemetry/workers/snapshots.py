"""The metrics of one worker as JSON, for the worker that was asked for ``/metrics``."""

from __future__ import annotations

import asyncio

import orjson
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.telemetry.workers.merged import Merged, Sample, Told, how


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


def _tell(family: Metric) -> Told:
    samples: list[Sample] = [
        # orjson takes no named tuples.
        (one.name, one.labels, one.value, list(one.exemplar) if one.exemplar is not None else None)
        for one in family.samples
    ]
    return family.name, family.type, family.documentation, samples
