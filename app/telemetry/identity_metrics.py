"""The metrics of other issuers: what became of their tokens, and whether their keys can be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import Counter, Gauge

from app.telemetry.metrics import Family, Metrics

TOKENS: Final = Family(
    "cloakroom_issuer_tokens_total",
    "counter",
    ("issuer", "verdict"),
    "Tokens of configured issuers that were sent to the mint or to the exchange.",
)
FETCHES: Final = Family(
    "cloakroom_issuer_key_fetches_total", "counter", ("issuer", "result"), "Fetches of an issuer's keys."
)
KEYS_TIME: Final = Family(
    "cloakroom_issuer_keys_timestamp_seconds",
    "gauge",
    ("issuer",),
    "Epoch seconds of the last good fetch of an issuer's keys; 0 before the first.",
)

ACCEPTED: Final = "accepted"
# ``not_allowed``: a good token, and nobody whom the settings let in; ``unavailable``: not checked.
# Also ``identity.tokens.REASONS``.
VERDICTS: Final = (ACCEPTED, "not_allowed", "unavailable")
FETCH_RESULTS: Final = ("ok", "failed")


class IdentityMetrics:
    """Counts tokens and fetches, beside the requests that ``metrics`` counts."""

    def __init__(self, metrics: Metrics, issuers: Iterable[str], *, clock: Callable[[], float]) -> None:
        registry, self._clock = metrics.registry, clock
        self._tokens = Counter(TOKENS.name, TOKENS.meaning, TOKENS.labels, registry=registry)
        self._fetches = Counter(FETCHES.name, FETCHES.meaning, FETCHES.labels, registry=registry)
        self._keys_time = Gauge(KEYS_TIME.name, KEYS_TIME.meaning, KEYS_TIME.labels, registry=registry)
        for issuer in issuers:
            self._tokens.labels(issuer, ACCEPTED)
            self._keys_time.labels(issuer)
            for result in FETCH_RESULTS:
                self._fetches.labels(issuer, result)

    def judged(self, issuer: str, verdict: str) -> None:
        """Count a token of this configured issuer."""
        self._tokens.labels(issuer, verdict).inc()

    def fetched(self, issuer: str) -> Callable[[bool], None]:
        """Return what counts a fetch of this issuer's keys: whether it was good."""

        def count(good: bool) -> None:
            self._fetches.labels(issuer, FETCH_RESULTS[0 if good else 1]).inc()
            if good:
                self._keys_time.labels(issuer).set(self._clock())

        return count
