"""A scrape: the metrics that are read when a scraper asks, and the text of all of them."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.telemetry.census import Alive, Census
from app.telemetry.metrics import Family

STORE_UP: Final = Family(
    "cloakroom_store_up",
    "gauge",
    (),
    "1 while the store is thought to be there, 0 while its breaker is open.",
)
STORE_NODE_UP: Final = Family(
    "cloakroom_store_node_up",
    "gauge",
    ("node",),
    "1 while this node of the store is thought to be there: each primary of a Cluster, or the one server.",
)
DEPLOYMENT_COOLING: Final = Family(
    "cloakroom_deployment_cooling",
    "gauge",
    ("deployment",),
    "1 while mints try the deployment after its alternatives, since it just failed.",
)
DEPLOYMENT_CLOSED: Final = Family(
    "cloakroom_deployment_closed",
    "gauge",
    ("deployment",),
    "1 while mints do not ask the deployment: its breaker is open, or it sent Retry-After.",
)
MODEL_END: Final = Family(
    "cloakroom_model_end_timestamp_seconds",
    "gauge",
    ("model", "deployment"),
    "Epoch seconds at which a model ends at its provider, where that is known and no successor comes before.",
)
IN_FLIGHT: Final = Family(
    "cloakroom_requests_in_flight", "gauge", (), "HTTP requests that are being answered, this one included."
)
IN_FLIGHT_LIMIT: Final = Family(
    "cloakroom_requests_in_flight_limit", "gauge", (), "How many there may be; one more is refused."
)
SHEDDING: Final = Family(
    "cloakroom_shedding",
    "gauge",
    (),
    "1 while requests are refused because the process has more work than time.",
)
LOOP_TURN: Final = Family(
    "cloakroom_loop_turn_seconds",
    "gauge",
    (),
    "CPU time of a turn of the event loop; a request needs several. 0 soon after the last request.",
)
TASKS: Final = Family(
    "cloakroom_tasks", "gauge", (), "Tasks of the event loop; one for each open connection."
)
DRAINING: Final = Family("cloakroom_draining", "gauge", (), "1 once the replica is shutting down.")
HANDLES_ALIVE: Final = Family(
    "cloakroom_handles_alive", "gauge", (), "Handles that live in the store, of all replicas together."
)
CALLS_ALIVE: Final = Family(
    "cloakroom_calls_alive", "gauge", (), "Calls that may still go on, of all replicas together."
)
HELD_CALLS: Final = Family(
    "cloakroom_held_calls",
    "gauge",
    (),
    "Calls that last as long as a WebSocket of this replica, and so end with it.",
)
SETTLEMENTS_PENDING: Final = Family(
    "cloakroom_settlements_pending",
    "gauge",
    (),
    "Writes that follow an answer of a provider and are not stored yet.",
)
SETTLEMENTS_GIVEN_UP: Final = Family(
    "cloakroom_settlements_given_up_total",
    "counter",
    (),
    "Such writes that the store did not take for a minute.",
)
SECRETS_TIME: Final = Family(
    "cloakroom_secrets_reload_timestamp_seconds",
    "gauge",
    (),
    "Epoch seconds at which the secrets were last read and taken; the start counts.",
)
SECRETS_FAILED: Final = Family(
    "cloakroom_secrets_reload_failed",
    "gauge",
    (),
    "1 while the secrets that were read last are not in force, since they cannot be used.",
)
SECRETS_RELOADS: Final = Family(
    "cloakroom_secrets_reloads_total", "counter", ("result",), "Secrets that were read anew, by result."
)
BUILD: Final = Family("cloakroom_build_info", "gauge", ("version", "python"), "Always 1; what runs here.")

_END: Final = b"# EOF\n"
# About half a millisecond's worth.
_SAMPLES_AT_ONCE: Final = 60
# A scrape takes 5 ms, so that scrapers have a tenth of the CPU at most.
PAUSE_SECONDS: Final = 0.05


class Reload(Protocol):
    """What became of reading the secrets anew: ``good_at`` is epoch seconds, the others are counts."""

    good_at: float
    problem: str | None
    taken: int
    refused: int


# By identity: a registry keeps it in a dictionary, and a sequence has no hash.
@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is read at each scrape. Every function returns at once."""

    store_up: Callable[[], bool]
    store_nodes: Callable[[], Mapping[str, bool]]
    cooling: Callable[[], Iterable[str]]
    closed: Callable[[], Iterable[str]]
    deployments: Sequence[str]
    model_ends: Callable[[], Mapping[tuple[str, ...], float]]
    in_flight: Callable[[], int]
    in_flight_limit: int
    shedding: Callable[[], bool]
    loop_turn: Callable[[], float]
    tasks: Callable[[], int]
    draining: Callable[[], bool]
    held_calls: Callable[[], int]
    settlements_pending: Callable[[], int]
    settlements_given_up: Callable[[], int]
    census: Census[Alive]
    reload: Reload

    def collect(self) -> Iterator[Metric]:
        """Yield each family with its values of now."""
        alive, cooling, closed = self.census.latest(), frozenset(self.cooling()), frozenset(self.closed())
        yield _read(STORE_UP, {(): self.store_up()})
        yield _read(STORE_NODE_UP, {(node,): up for node, up in self.store_nodes().items()})
        yield _read(DEPLOYMENT_COOLING, {(name,): name in cooling for name in self.deployments})
        yield _read(DEPLOYMENT_CLOSED, {(name,): name in closed for name in self.deployments})
        yield _read(MODEL_END, self.model_ends())
        yield _read(IN_FLIGHT, {(): self.in_flight()})
        yield _read(IN_FLIGHT_LIMIT, {(): self.in_flight_limit})
        yield _read(SHEDDING, {(): self.shedding()})
        yield _read(LOOP_TURN, {(): self.loop_turn()})
        yield _read(TASKS, {(): self.tasks()})
        yield _read(DRAINING, {(): self.draining()})
        yield _read(HANDLES_ALIVE, {} if alive is None else {(): alive.handles})
        yield _read(CALLS_ALIVE, {} if alive is None else {(): alive.calls})
        yield _read(HELD_CALLS, {(): self.held_calls()})
        yield _read(SETTLEMENTS_PENDING, {(): self.settlements_pending()})
        yield _read(SETTLEMENTS_GIVEN_UP, {(): self.settlements_given_up()})
        yield _read(SECRETS_TIME, {(): self.reload.good_at})
        yield _read(SECRETS_FAILED, {(): self.reload.problem is not None})
        yield _read(SECRETS_RELOADS, {("taken",): self.reload.taken, ("refused",): self.reload.refused})
        yield _read(BUILD, {(__version__, platform.python_version()): 1})


def _read(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.meaning, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric


def expose(registry: CollectorRegistry, state: State) -> None:
    """Let a scrape of ``registry`` also tell the state of the service and of its process."""
    registry.register(state)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)


class _Part(Metric):
    """Some samples of a family, as a collector."""

    def collect(self) -> list[Metric]:
        return [self]


async def scrape(collector: Collector, accept: str) -> tuple[bytes, str]:
    """Return the text of a scrape and its content type. ``accept`` is the scraper's ``Accept`` header.

    A family is read at once, so that its numbers agree. It is written in parts, and the event loop turns
    after each of them: no request waits for longer than one part takes.
    """
    encode, content_type = choose_encoder(accept)
    parts: list[bytes] = []
    end = b""
    for family in collector.collect():
        for start in range(0, max(len(family.samples), 1), _SAMPLES_AT_ONCE):
            part = _Part(family.name, family.documentation, family.type)
            part.samples = family.samples[start : start + _SAMPLES_AT_ONCE]
            text = encode(part)
            if text.endswith(_END):
                text, end = text.removesuffix(_END), _END
            parts.append(text if start == 0 else _without_head(text))
            await asyncio.sleep(0)
    return b"".join([*parts, end]), content_type


class Scrapes:
    """The scrapes of one registry, which anyone may ask for and which cost a hundred times a small request.

    One of several workers has ``collect`` return the metrics of all of them.

    They begin ``PAUSE_SECONDS`` apart. Scrapers that ask meanwhile share the next one. It begins after they
    asked, so that each of them is told what was true then, or later.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        async def alone() -> Collector:
            return registry

        self.collect: Callable[[], Awaitable[Collector]] = alone
        # Those that have not begun, by content type.
        self._next: dict[str, asyncio.Task[tuple[bytes, str]]] = {}
        self._begins_at = 0.0

    async def text(self, accept: str) -> tuple[bytes, str]:
        """As ``scrape``."""
        _, content_type = choose_encoder(accept)
        shared = self._next.get(content_type)
        if shared is None:
            now = asyncio.get_running_loop().time()
            at = max(now, self._begins_at)
            self._begins_at = at + PAUSE_SECONDS
            shared = asyncio.create_task(self._scraped(content_type, accept, wait=at - now))
            self._next[content_type] = shared
        return await asyncio.shield(shared)

    async def _scraped(self, content_type: str, accept: str, *, wait: float) -> tuple[bytes, str]:
        if wait > 0:
            await asyncio.sleep(wait)
        del self._next[content_type]
        return await scrape(await self.collect(), accept)


def _without_head(text: bytes) -> bytes:
    """The samples alone: HELP and TYPE are written before the first part of a family."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
