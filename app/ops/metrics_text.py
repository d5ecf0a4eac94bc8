"""The text of a scrape, in the format that the scraper asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from app.ops.metrics_collector import Collector

_END: Final = b"# EOF\n"


class _One:
    """A collector of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


async def scrape(collector: Collector, accept: str) -> tuple[bytes, str]:
    """Return the text and its content type. ``accept`` is the scraper's ``Accept``.

    A family is written in one go, so its numbers fit together; between two of them the loop may turn, so that
    a scrape holds up nobody's request for longer than one family takes.
    """
    encode, content_type = choose_encoder(accept)
    parts: list[bytes] = []
    end = b""
    for family in collector.collect():
        text = encode(_One(family))
        if text.endswith(_END):
            text, end = text.removesuffix(_END), _END
        parts.append(text)
        await asyncio.sleep(0)
    return b"".join([*parts, end]), content_type
