"""The text of a scrape is prometheus-client's own, whatever parts it was written in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from app.errors import StoreUnavailable
from app.telemetry import scrape as scraping
from app.telemetry.census import Alive, Census
from app.telemetry.metrics import Metrics
from app.telemetry.scrape import PAUSE_SECONDS, Scrapes, State, expose, scrape
from app.telemetry.timings import Timings, Try
from app.wiring.keys_in_force import ReloadState

NAMES = [f"name-{number}" for number in range(40)]
ACCEPTED = ["*/*", "application/openmetrics-text;version=1.0.0"]


class Frozen:
    """The same families each time: what the process itself tells would change meanwhile."""

    def __init__(self) -> None:
        metrics = Metrics(models=NAMES, deployments=NAMES)
        for name in NAMES:
            timings = Timings(model=name, deployment=name, tries=[Try(name, 0.3, "answered", 201)])
            metrics.answered("mint", 200, None, timings, seconds=0.4)

        async def nobody() -> Alive:
            raise StoreUnavailable("Away.")

        expose(
            metrics.registry,
            State(
                store_up=lambda: True,
                store_nodes=lambda: {"primary": True},
                cooling=list,
                closed=list,
                deployments=NAMES,
                model_ends=dict,
                in_flight=lambda: 1,
                in_flight_limit=2,
                shedding=lambda: False,
                loop_turn=lambda: 0.0,
                tasks=lambda: 1,
                draining=lambda: False,
                held_calls=lambda: 0,
                settlements_pending=lambda: 0,
                settlements_given_up=lambda: 0,
                census=Census(nobody, monotonic=lambda: 0.0),
                reload=ReloadState(good_at=0.0),
            ),
        )
        self.families = list(metrics.registry.collect())

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


@pytest.mark.parametrize("accept", ACCEPTED)
async def test_a_text_in_parts_is_the_whole_text(accept: str) -> None:
    collector = Frozen()
    assert max(len(family.samples) for family in collector.families) > 2 * scraping._SAMPLES_AT_ONCE
    text, content_type = await scrape(collector, accept)
    encode, expected_type = choose_encoder(accept)
    assert text == encode(collector)
    assert content_type == expected_type


async def test_the_loop_turns_while_a_scrape_is_written() -> None:
    collector, turns = Frozen(), 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    await scrape(collector, "*/*")
    turning.cancel()
    parts = sum(1 + len(family.samples) // scraping._SAMPLES_AT_ONCE for family in collector.families)
    assert turns >= parts // 2


class Counted:
    """Tells how often it was collected."""

    def __init__(self) -> None:
        self.times = 0

    def collect(self) -> list[Metric]:
        self.times += 1
        family = GaugeMetricFamily("collected", "How often.", value=self.times)
        return [family]


@pytest.mark.virtual_time
async def test_scrapers_that_ask_at_once_share_what_was_collected_after_they_asked() -> None:
    registry, counted = CollectorRegistry(), Counted()
    registry.register(counted)
    counted.times = 0
    scrapes = Scrapes(registry)
    first = await scrapes.text("text/plain")
    assert b"collected 1.0" in first[0]
    crowd = [asyncio.create_task(scrapes.text("text/plain")) for _ in range(100)]
    await asyncio.sleep(PAUSE_SECONDS / 2)
    crowd.append(asyncio.create_task(scrapes.text("text/plain")))
    texts = {text for text, _ in await asyncio.gather(*crowd)}
    assert len(texts) == 1
    assert b"collected 2.0" in texts.pop()
    # Another format is another text.
    _, content_type = await scrapes.text("application/openmetrics-text")
    assert content_type.startswith("application/openmetrics-text")


@pytest.mark.virtual_time
async def test_however_many_ask_a_scrape_begins_now_and_then_only() -> None:
    registry, counted = CollectorRegistry(), Counted()
    registry.register(counted)
    counted.times = 0
    scrapes = Scrapes(registry)
    until = asyncio.get_running_loop().time() + 1

    async def scraper() -> None:
        while asyncio.get_running_loop().time() < until:
            await scrapes.text("text/plain")

    await asyncio.gather(*(scraper() for _ in range(50)))
    assert counted.times <= 1 / PAUSE_SECONDS + 2


@pytest.mark.virtual_time
async def test_a_scraper_that_leaves_takes_nothing_from_the_others() -> None:
    registry = CollectorRegistry()
    registry.register(Counted())
    scrapes = Scrapes(registry)
    await scrapes.text("text/plain")
    leaves, stays = (asyncio.create_task(scrapes.text("text/plain")) for _ in range(2))
    await asyncio.sleep(PAUSE_SECONDS / 2)
    leaves.cancel()
    text, _ = await stays
    assert b"collected" in text
    assert leaves.cancelled()
