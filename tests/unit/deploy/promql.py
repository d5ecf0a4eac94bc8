"""What a PromQL expression names: metrics, the labels it matches and groups by, the values it looks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Metrics of ours, of prometheus-client, of Prometheus itself, and those that alerts.yml records.
_METRIC: Final = re.compile(
    r"(?<![\w:])((?:cloakroom|process|python)_\w+|up|job(?:_\w+)?:\w+:\w+)(?![\w:])(?:\{([^}]*)\})?"
)
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING: Final = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")
# What Grafana puts in before a query is sent.
_VARIABLES: Final = {
    "$__rate_interval": "5m",
    "$job": ".*",
    "$instance": ".*",
    "$model": ".*",
    "$deployment": ".*",
}


@dataclass(frozen=True)
class Selector:
    """``metric{label="value"}``; ``values`` are the words that a matcher asks for, alternatives apart."""

    metric: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]


def selectors(expr: str) -> list[Selector]:
    found = []
    for metric, inside in _METRIC.findall(expr):
        matchers = _MATCHER.findall(inside)
        values = [(label, word) for label, _, text in matchers for word in text.split("|") if "$" not in word]
        found.append(Selector(metric, frozenset(label for label, _, _ in matchers), tuple(values)))
    return found


def grouped_by(expr: str) -> frozenset[str]:
    return frozenset(label for labels in _GROUPING.findall(expr) for label in _words(labels))


def _words(text: str) -> Iterator[str]:
    yield from (word.strip() for word in text.split(",") if word.strip())


def filled_in(expr: str) -> str:
    """The expression as Prometheus gets it."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return expr
