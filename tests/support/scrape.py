"""Reads ``/metrics`` as a scraper does, with prometheus-client's own parsers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

OPEN_METRICS = "application/openmetrics-text"


@dataclass(frozen=True)
class Scrape:
    """One scrape: what came, and its samples."""

    status: int
    headers: Mapping[str, str]
    text: str

    def samples(self) -> Iterator[Any]:
        """Every sample; raises ``ValueError`` for text that is not of its format."""
        parse = open_metrics if self.headers["content-type"].startswith(OPEN_METRICS) else plain_text
        for family in parse(self.text):
            yield from family.samples

    def series(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """The names and labels of all samples."""
        return {(sample.name, frozenset(sample.labels.items())) for sample in self.samples()}

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the samples that have these labels, among others; None where there is none."""
        found = [
            sample.value
            for sample in self.samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


async def scrape(http: aiohttp.ClientSession, base: str, accept: str = "*/*", **headers: str) -> Scrape:
    """Scrape a replica."""
    async with http.get(f"{base}/metrics", headers={"Accept": accept, **headers}) as response:
        found = {name.lower(): value for name, value in response.headers.items()}
        return Scrape(response.status, found, await response.text())
