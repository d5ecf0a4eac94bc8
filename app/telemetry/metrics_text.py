"""The text of a scrape, in the format that the scraper asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from app.telemetry.metrics_collector import Collector

_END: Final = b"# EOF\n"
# About half a millisecond's worth.
_SAMPLES_AT_ONCE: Final = 60


class _Part:
    """Some samples of one family, as a collector."""

    def __init__(self, family: Metric, samples: list[Sample]) -> None:
        self._metric = Metric(family.name, family.documentation, family.type)
        self._metric.samples = samples

    def collect(self) -> Iterator[Metric]:
        yield self._metric


async def scrape(collector: Collector, accept: str) -> tuple[bytes, str]:
    """Return the text and its content type. ``accept`` is the scraper's ``Accept``.

    A family is read in one go, so its numbers fit together, and written in parts, between which the loop may
    turn: a scrape holds up nobody's request for longer than a part takes.
    """
    encode, content_type = choose_encoder(accept)
    parts: list[bytes] = []
    end = b""
    for family in collector.collect():
        for start in range(0, max(len(family.samples), 1), _SAMPLES_AT_ONCE):
            text = encode(_Part(family, family.samples[start : start + _SAMPLES_AT_ONCE]))
            if text.endswith(_END):
                text, end = text.removesuffix(_END), _END
            parts.append(text if start == 0 else _without_head(text))
            await asyncio.sleep(0)
    return b"".join([*parts, end]), content_type


def _without_head(text: bytes) -> bytes:
    """The samples alone: a family's HELP and TYPE stand before its first part."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
