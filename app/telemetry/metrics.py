"""The metrics that requests change: their names, types, labels and help texts, and how a request counts.

``app.telemetry.scrape`` has the other ones, which are read when a scraper asks. ``docs/metrics.md`` lists all
of them, and a test compares it with this module. Every label value comes from a list that is known at start:
never from a caller or a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from app.errors import CloakroomError, UpstreamError
from app.telemetry.timings import Timings, Try


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``name`` is what a query names; a histogram's samples have suffixes after it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


_OPERATION: Final = ("model", "deployment", "outcome", "code")

MINTS: Final = Family("cloakroom_mints_total", "counter", _OPERATION, "Mints that were answered.")
RELAYS: Final = Family("cloakroom_relays_total", "counter", _OPERATION, "Offers that were answered.")
HANGUPS: Final = Family("cloakroom_hangups_total", "counter", _OPERATION, "Hang-ups that were answered.")
CLAIMS_REFUSED: Final = Family(
    "cloakroom_claims_refused_total",
    "counter",
    ("reason",),
    "Offers that their handle did not open a call for.",
)
RESPONSES: Final = Family(
    "cloakroom_http_responses_total", "counter", ("handler", "status"), "HTTP answers of every kind."
)
REFUSALS: Final = Family(
    "cloakroom_http_refusals_total",
    "counter",
    ("code",),
    "Errors of what is no mint, relay or hang-up, or never became one.",
)
DURATION: Final = Family(
    "cloakroom_request_duration_seconds",
    "histogram",
    ("operation", "outcome"),
    "All of a request, from its headers to its answer, the waits included.",
)
OVERHEAD: Final = Family(
    "cloakroom_overhead_seconds",
    "histogram",
    ("operation",),
    "What this service itself adds: a request less its waits for provider, store and the caller's body.",
)
PROVIDER: Final = Family(
    "cloakroom_provider_duration_seconds",
    "histogram",
    ("operation", "deployment"),
    "One request to a provider, whatever came of it; a retry is one more.",
)
STORE: Final = Family(
    "cloakroom_store_duration_seconds", "histogram", ("step",), "One step at the store, failed ones too."
)
TRIES: Final = Family(
    "cloakroom_provider_tries_total",
    "counter",
    ("operation", "deployment", "result"),
    "Requests to providers; a retry or a failover is one more.",
)
DEPLOYMENT_UP: Final = Family(
    "cloakroom_deployment_up",
    "gauge",
    ("deployment",),
    "1 when the last request to the deployment was answered, with a refusal too; 0 when it failed.",
)

# Upper bounds in seconds. A provider takes between 1 ms (the sandbox) and 30 s (longer than any deadline).
PROVIDER_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The store and our own work are faster.
NEAR_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

NONE: Final = "none"
OTHER: Final = "other"
OPERATIONS: Final = ("mint", "relay", "hangup")
# ``other``: health, metrics, pages, the admin API; ``unmatched``: no such path or method.
HANDLERS: Final = (*OPERATIONS, "report", "ice", "lookup", "preflight", OTHER, "unmatched")
STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
# Why a handle did not open a call, by the code of the answer.
CLAIM_REFUSALS: Final[Mapping[str, str]] = {
    "invalid_handle": "invalid",
    "handle_expired": "expired",
    "handle_revoked": "revoked",
    "handle_spent": "spent",
    "wrong_session_family": "wrong_family",
    "wrong_certificate": "wrong_certificate",
    "wrong_origin": "wrong_origin",
}
# The gate's own errors, which are exposed from the start. Any other code is possible, but rare.
_GATE_CODES: Final = (
    *("overloaded", "origin_not_allowed", "host_not_allowed"),
    *("not_found", "method_not_allowed", "internal_error"),
)
_STORE_STEPS: Final = ("save", "claim", "settle")
_UNAVAILABLE: Final = frozenset({"store_unavailable", "store_not_replicated", "overloaded", "draining"})
# A provider's error code is free text, so its status is counted; these ask for different actions.
_PROVIDER_STATUSES: Final = frozenset({400, 401, 403, 404, 429})
# After one of these results a deployment counts as up: it answered.
_ANSWERS: Final = frozenset({"ok", "refused", "rate_limited"})


def _with_subclasses(error: type[CloakroomError]) -> Iterator[type[CloakroomError]]:
    yield error
    for child in error.__subclasses__():
        yield from _with_subclasses(child)


def _outcome(error: type[CloakroomError]) -> str:
    if error.type == "upstream_error":
        return "provider_error"
    if error.code in _UNAVAILABLE:
        return "unavailable"
    return "error" if error.status == 500 else "refused"


# The outcome of each error code.
CODES: Final[Mapping[str, str]] = {
    **{error.code: _outcome(error) for error in _with_subclasses(CloakroomError)},
    **{f"upstream_{status}": "provider_error" for status in (*sorted(_PROVIDER_STATUSES), "4xx", "5xx")},
}


def code_of(error: CloakroomError) -> str:
    """Return the label ``code``: our own code, or the provider's status where the provider refused."""
    if isinstance(error, UpstreamError) and error.upstream_status is not None:
        status = error.upstream_status
        return f"upstream_{status}" if status in _PROVIDER_STATUSES else f"upstream_{status // 100}xx"
    return error.code


def result_of(attempt: Try) -> str:
    """Return how a request to a provider ended: by its status, or by why it has none."""
    status = attempt.status
    if status is None:
        return attempt.outcome
    if status == 429:
        return "rate_limited"
    if 200 <= status < 300 or status == 101:
        return "ok"
    return "refused" if 400 <= status < 500 else "failed"


_Child = TypeVar("_Child", bound=MetricWrapperBase)


class _Series(dict[tuple[str, ...], _Child], Generic[_Child]):
    """The children of a metric by their label values: ``labels()`` takes longer than ``inc()``.

    The ``known`` ones are exposed from the start, at zero; any other one from its first value.
    """

    def __init__(self, metric: _Child, known: Iterable[tuple[str, ...]] = ()) -> None:
        super().__init__({values: metric.labels(*values) for values in known})
        self._metric = metric

    def __missing__(self, values: tuple[str, ...]) -> _Child:
        child = self[values] = self._metric.labels(*values)
        return child


class Metrics:
    """The numbers of one service since its start, in a registry that no other service shares.

    Args:
        models: the aliases that are shown as labels; any other is shown as ``other``.
        deployments: the deployments that are.
    """

    def __init__(self, *, models: Iterable[str], deployments: Iterable[str]) -> None:
        # The library would add a series with the time of creation to each counter and histogram.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotation
        self.registry = CollectorRegistry()
        # A name that is not known yet is None.
        self._models: dict[str | None, str] = {None: NONE} | {name: name for name in models}
        self._deployments: dict[str | None, str] = {None: NONE} | {name: name for name in deployments}
        self._operations = {
            operation: self._counters(family)
            for operation, family in zip(OPERATIONS, (MINTS, RELAYS, HANGUPS), strict=True)
        }
        self._claims_refused = self._counters(CLAIMS_REFUSED, ((why,) for why in CLAIM_REFUSALS.values()))
        self._responses = self._counters(RESPONSES, ((name, of) for name in HANDLERS for of in STATUSES[1:]))
        self._refusals = self._counters(REFUSALS, ((code,) for code in _GATE_CODES))
        self._duration = self._histograms(DURATION, PROVIDER_BUCKETS, ((name, "ok") for name in OPERATIONS))
        self._overhead = self._histograms(OVERHEAD, NEAR_BUCKETS, ((name,) for name in OPERATIONS))
        self._provider = self._histograms(PROVIDER, PROVIDER_BUCKETS)
        self._store = self._histograms(STORE, NEAR_BUCKETS, ((step,) for step in _STORE_STEPS))
        self._tries = self._counters(TRIES)
        self._deployment_up = Gauge(
            DEPLOYMENT_UP.name, DEPLOYMENT_UP.meaning, DEPLOYMENT_UP.labels, registry=self.registry
        )
        self._up: dict[str, bool] = {}

    def answered(
        self,
        handler: str,
        status: int,
        error: CloakroomError | None,
        timings: Timings,
        *,
        seconds: float,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Count one answered request.

        Args:
            handler: one of ``HANDLERS``; anything else counts as ``other``.
            seconds: from the request's headers to its answer.
            fields: of its log line; only ``outcome`` and ``replayed`` are read.
        """
        shown = handler if handler in HANDLERS else OTHER
        self._responses[shown, STATUSES[status // 100 - 1]].inc()
        code = NONE if error is None else code_of(error)
        operations = self._operations.get(handler)
        if operations is None:
            if error is not None:
                self._refusals[code,].inc()
            return
        outcome = _success(fields or {}) if error is None else CODES.get(code, "error")
        operations[(*self.labels(timings), outcome, code)].inc()
        if handler == "relay" and code in CLAIM_REFUSALS:
            self._claims_refused[CLAIM_REFUSALS[code],].inc()
        self._observe(handler, outcome, timings, seconds)

    def refused_at_once(self, error: CloakroomError) -> Callable[[], None]:
        """Return what counts a request that was refused with this error before it was parsed."""
        response = self._responses[OTHER, STATUSES[error.answer_status // 100 - 1]]
        refusal = self._refusals[code_of(error),]

        def count() -> None:
            response.inc()
            refusal.inc()

        return count

    def labels(self, timings: Timings) -> tuple[str, str]:
        """Return the labels ``model`` and ``deployment`` of a request."""
        return self._models.get(timings.model, OTHER), self._deployments.get(timings.deployment, OTHER)

    def _observe(self, operation: str, outcome: str, timings: Timings, seconds: float) -> None:
        exemplar = _exemplar(timings)
        self._duration[operation, outcome].observe(seconds, exemplar)
        own = seconds - timings.provider - timings.store - timings.idle
        self._overhead[operation,].observe(max(own, 0.0), exemplar)
        self.tried(operation, timings)
        for step, started, ended in timings.store_steps:
            self._store[step,].observe(ended - started, exemplar)

    def tried(self, operation: str, timings: Timings) -> None:
        """Count the requests to providers, also of what no request to us asked for."""
        exemplar = _exemplar(timings)
        for attempt in timings.tries:
            deployment, result = self._deployments.get(attempt.deployment, OTHER), result_of(attempt)
            self._tries[operation, deployment, result].inc()
            self._provider[operation, deployment].observe(attempt.seconds, exemplar)
            up = result in _ANSWERS
            if self._up.get(deployment) is not up:
                self._up[deployment] = up
                self._deployment_up.labels(deployment).set(up)

    def _counters(self, family: Family, known: Iterable[tuple[str, ...]] = ()) -> _Series[Counter]:
        return _Series(Counter(family.name, family.meaning, family.labels, registry=self.registry), known)

    def _histograms(
        self, family: Family, buckets: tuple[float, ...], known: Iterable[tuple[str, ...]] = ()
    ) -> _Series[Histogram]:
        return _Series(
            Histogram(family.name, family.meaning, family.labels, registry=self.registry, buckets=buckets),
            known,
        )


def _exemplar(timings: Timings) -> dict[str, str] | None:
    trace = timings.trace
    return {"trace_id": trace.trace_id} if trace is not None and trace.sampled else None


def _success(fields: Mapping[str, Any]) -> str:
    if fields.get("replayed"):
        return "replayed"
    outcome = fields.get("outcome")
    return outcome if outcome in ("gone", "repeated") else "ok"
