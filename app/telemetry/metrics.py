"""What is counted of each request. The request path pays for this, so it is sums and dictionaries only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.errors import CloakroomError
from app.telemetry.metrics_labels import (
    CLAIM_REFUSALS,
    CODES,
    GATE_CODES,
    HANDLERS,
    NONE,
    OPERATIONS,
    OTHER,
    STATUSES,
    WELL,
    code_of,
    result_of,
)
from app.telemetry.metrics_values import NEAR_BUCKETS, PROVIDER_BUCKETS, Counts, Histograms
from app.telemetry.timings import Timings

_NO_FIELDS: Final[Mapping[str, Any]] = {}
_STORE_STEPS: Final = ("save", "claim", "settle")


class Metrics:
    """The numbers of one service since its start.

    Args:
        models: the aliases that may stand in a label; any other is ``other``.
        deployments: the deployments that may.
    """

    def __init__(self, *, models: Iterable[str], deployments: Iterable[str]) -> None:
        # What stands in a label for a name; None is one that is not known yet.
        self._models: dict[str | None, str] = {None: NONE} | {name: name for name in models}
        self._deployments: dict[str | None, str] = {None: NONE} | {name: name for name in deployments}
        # By model, deployment, outcome, code.
        self.operations: dict[str, Counts] = {operation: {} for operation in OPERATIONS}
        self.responses: Counts = {(handler, status): 0 for handler in HANDLERS for status in STATUSES[1:]}
        self.refusals: Counts = {(code,): 0 for code in GATE_CODES}
        self.claims_refused: Counts = {(reason,): 0 for reason in CLAIM_REFUSALS.values()}
        # By operation, deployment, result.
        self.tries: Counts = {}
        self.duration = Histograms(PROVIDER_BUCKETS, *[(operation, "ok") for operation in OPERATIONS])
        self.overhead = Histograms(NEAR_BUCKETS, *[(operation,) for operation in OPERATIONS])
        self.provider = Histograms(PROVIDER_BUCKETS)
        self.store = Histograms(NEAR_BUCKETS, *[(step,) for step in _STORE_STEPS])
        self.deployments_up: dict[str, bool] = {}

    def answered(
        self,
        handler: str,
        status: int,
        error: CloakroomError | None,
        timings: Timings,
        *,
        seconds: float,
        fields: Mapping[str, Any] = _NO_FIELDS,
    ) -> None:
        """Count one answered request.

        Args:
            handler: one of ``HANDLERS``; anything else counts as ``other``.
            seconds: all of it, as far as we see.
            fields: of its log line; ``outcome`` and ``replayed`` are looked at.
        """
        counts = self.operations.get(handler)
        shown = handler if handler in HANDLERS else OTHER
        _count(self.responses, (shown, STATUSES[status // 100 - 1]))
        code = NONE if error is None else code_of(error)
        if counts is None:
            if error is not None:
                _count(self.refusals, (code,))
            return
        outcome = _success(fields) if error is None else CODES.get(code, "error")
        _count(counts, (*self.labels(timings), outcome, code))
        if handler == "relay" and code in CLAIM_REFUSALS:
            _count(self.claims_refused, (CLAIM_REFUSALS[code],))
        self._times(handler, outcome, timings, seconds)

    def labels(self, timings: Timings) -> tuple[str, str]:
        """Model and deployment of a request, as far as they are known, in words of the configuration."""
        return self._models.get(timings.model, OTHER), self._deployments.get(timings.deployment, OTHER)

    def _times(self, operation: str, outcome: str, timings: Timings, seconds: float) -> None:
        trace = timings.trace
        trace_id = trace.trace_id if trace is not None and trace.sampled else None
        self.duration[operation, outcome].observe(seconds, trace_id)
        own = seconds - timings.provider - timings.store - timings.idle
        self.overhead[operation,].observe(max(own, 0.0), trace_id)
        for attempt in timings.tries:
            deployment, result = self._deployments.get(attempt.deployment, OTHER), result_of(attempt)
            _count(self.tries, (operation, deployment, result))
            self.provider[operation, deployment].observe(attempt.seconds, trace_id)
            self.deployments_up[deployment] = result in WELL
        for step, started, ended in timings.store_steps:
            self.store[step,].observe(ended - started, trace_id)


def _count(counts: Counts, labels: tuple[str, ...]) -> None:
    counts[labels] = counts.get(labels, 0) + 1


def _success(fields: Mapping[str, Any]) -> str:
    if fields.get("replayed"):
        return "replayed"
    outcome = fields.get("outcome")
    return outcome if outcome in ("gone", "repeated") else "ok"
