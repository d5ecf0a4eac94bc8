"""The metrics of warm pools: the keys that were minted ahead, and the mints that wanted one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Final, Protocol

from prometheus_client import Counter
from prometheus_client.metrics_core import GaugeMetricFamily

from app.telemetry.metrics import Family, Metrics
from app.telemetry.timings import Timings

KEYS: Final = Family(
    "cloakroom_pool_keys_total",
    "counter",
    ("model", "outcome"),
    "Keys of warm pools: those that this replica minted ahead, and what it saw become of any.",
)
TAKES: Final = Family(
    "cloakroom_pool_takes_total",
    "counter",
    ("model", "result"),
    "Mints of models with a warm pool, by whether it had a key for them.",
)
STOCK: Final = Family(
    "cloakroom_pool_stock", "gauge", ("model",), "Keys in stock in a warm pool, of all replicas together."
)
GOAL: Final = Family(
    "cloakroom_pool_goal",
    "gauge",
    ("model",),
    "How many keys a warm pool wants in stock just now, of all replicas together.",
)

# ``used``: handed out; ``wasted``: thrown away, too old; ``lost``: neither, such as one whose replica died.
OUTCOMES: Final = ("minted", "used", "wasted", "lost")
# ``unsuited``: what its provider would be asked depends on the caller; ``failed``: the store did not answer,
# or what it had could not be used.
RESULTS: Final = ("hit", "empty", "unsuited", "failed")


class Figures(Protocol):
    """How one pool stands, for all replicas."""

    @property
    def stock(self) -> int: ...

    @property
    def goal(self) -> int: ...


class Swept(Protocol):
    """Keys that were found to be over."""

    @property
    def wasted(self) -> int: ...

    @property
    def lost(self) -> int: ...


class PoolMetrics:
    """Counts keys and takes. The series of the models that have a pool are there from the start."""

    def __init__(self, metrics: Metrics, models: Iterable[str]) -> None:
        names = tuple(models)
        self._metrics = metrics
        keys, takes = (
            Counter(family.name, family.meaning, family.labels, registry=metrics.registry)
            for family in (KEYS, TAKES)
        )
        # Each is a counter by itself, because ``labels()`` takes longer than ``inc()``.
        self._keys = {pair: keys.labels(*pair) for pair in product(names, OUTCOMES)}
        self._takes = {pair: takes.labels(*pair) for pair in product(names, RESULTS)}

    def took(self, model: str, result: str) -> None:
        """Count a mint; ``result`` is one of ``RESULTS``."""
        self._takes[model, result].inc()

    def keys(self, model: str, outcome: str, number: int = 1) -> None:
        """Count keys; ``outcome`` is one of ``OUTCOMES``."""
        self._keys[model, outcome].inc(number)

    def swept(self, model: str, swept: Swept) -> None:
        """Count keys that were found to be over."""
        self.keys(model, "wasted", swept.wasted)
        self.keys(model, "lost", swept.lost)

    def tried(self, timings: Timings) -> None:
        """Count the requests to providers of a mint ahead."""
        self._metrics.tried("mint", timings)

    def watch(self, latest: Callable[[], Mapping[str, Figures] | None]) -> None:
        """Read the gauges here at each scrape, by model; None tells none."""
        self._metrics.registry.register(_Gauges(latest))


class _Gauges:
    def __init__(self, latest: Callable[[], Mapping[str, Figures] | None]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._latest() or {}
        stock, goal = (
            GaugeMetricFamily(family.name, family.meaning, labels=family.labels) for family in (STOCK, GOAL)
        )
        for model, figures in found.items():
            stock.add_metric((model,), figures.stock)
            goal.add_metric((model,), figures.goal)
        yield from (stock, goal)
