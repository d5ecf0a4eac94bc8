"""What calls used, as metrics, and as the attributes of a span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import Counter, Gauge

from app.telemetry.metrics import Family, Metrics
from app.telemetry.timings import Timings

WATCHED: Final = Family(
    "cloakroom_metering_watched_calls", "gauge", (), "Calls that this replica is attached to for metering."
)
TOKENS: Final = Family(
    "cloakroom_usage_tokens_total",
    "counter",
    ("model", "kind"),
    "Tokens of metered calls, counted when the provider tells them; each token has one kind.",
)
SECONDS: Final = Family(
    "cloakroom_usage_call_seconds_total",
    "counter",
    ("model",),
    "How long metered calls lasted that are over, in seconds.",
)
LIVE_SECONDS: Final = Family(
    "cloakroom_usage_live_seconds_total",
    "counter",
    ("model",),
    "Seconds of GPT-Live sessions that metered calls used, counted when the provider tells them.",
)
RECORDS: Final = Family(
    "cloakroom_usage_records_total",
    "counter",
    ("model", "metered"),
    "Usage records that this replica wrote; metered tells whether one has everything.",
)

# OpenTelemetry's conventions for generative AI, https://opentelemetry.io/docs/specs/semconv/gen-ai/, as of
# November 2026 (the Python package opentelemetry-semantic-conventions 0.66b2). They are in development and
# know no realtime session yet: "realtime" is a name of ours, which they allow for what they do not list.
OPERATION: Final = "realtime"
GEN_AI: Final[Mapping[str, str]] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "provider_model": "gen_ai.response.model",
    "call": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}
# As on the spans of requests.
_OURS: Final[Mapping[str, str]] = {
    "client": "cloakroom.client",
    "handle": "cloakroom.handle.id",
    "deployment": "cloakroom.deployment",
}
# Spans name no user; the times are the span's.
_LEFT_OUT: Final = frozenset({"v", "subject", "relayed_at", "ended_at"})
# The conventions' names of providers, by ours.
PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "azure-preview": "azure.ai.openai",
    "openai-live": "openai",
    "azure-live": "azure.ai.openai",
}


class UsageMetrics:
    """Counts what metered calls use."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._metrics = metrics
        self._watched = Gauge(WATCHED.name, WATCHED.meaning, registry=registry)
        self._tokens = Counter(TOKENS.name, TOKENS.meaning, TOKENS.labels, registry=registry)
        self._seconds = Counter(SECONDS.name, SECONDS.meaning, SECONDS.labels, registry=registry)
        self._live = Counter(LIVE_SECONDS.name, LIVE_SECONDS.meaning, LIVE_SECONDS.labels, registry=registry)
        self._records = Counter(RECORDS.name, RECORDS.meaning, RECORDS.labels, registry=registry)

    def expose(self, models: Iterable[str], *, hows: Iterable[str], kinds: Iterable[str]) -> None:
        """Show the usual series from the start, at zero."""
        for model in models:
            self._seconds.labels(model)
            self._live.labels(model)
            for kind in kinds:
                self._tokens.labels(model, kind)
            for how in hows:
                self._records.labels(model, how)

    def watch(self, count: Callable[[], int]) -> None:
        """Read the number of watched calls from here."""
        self._watched.set_function(count)

    def grown(self, model: str, kinds: Mapping[str, int], *, live_seconds: float = 0) -> None:
        """Count tokens by their kinds, and seconds of a Live session."""
        label = self._label(model)
        for kind, tokens in kinds.items():
            self._tokens.labels(label, kind).inc(tokens)
        if live_seconds:
            self._live.labels(label).inc(live_seconds)

    def recorded(self, model: str, how: str, seconds: float | None) -> None:
        """Count a record, and how long its call lasted."""
        label = self._label(model)
        self._records.labels(label, how).inc()
        if seconds is not None:
            self._seconds.labels(label).inc(seconds)

    def _label(self, model: str) -> str:
        return self._metrics.labels(Timings(model=model))[0]


def span_attributes(provider: str, fields: Mapping[str, str | float]) -> dict[str, str | float]:
    """The attributes of a call's span, under the conventions' names where they have one.

    Args:
        provider: our name of it.
        fields: of the usage record.
    """
    told = {**fields, "operation": OPERATION, "provider": PROVIDERS.get(provider, provider)}
    return {
        GEN_AI.get(name) or _OURS.get(name, f"cloakroom.usage.{name}"): value
        for name, value in told.items()
        if name not in _LEFT_OUT
    }
