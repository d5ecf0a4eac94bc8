"""How long one request waited, and for what. Its log line, metrics and spans are made from this.

Times are seconds on the monotonic clock of the process (``time.perf_counter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

# How a try ended. Only ``answered`` has a status, which may be any.
TryOutcome = Literal["answered", "unreachable", "timeout", "cut_off"]
StoreStep = Literal["limit", "pool", "save", "claim", "settle", "release", "find", "note", "report"]
# What a mint of a model with a warm pool came to there. ``unsuited``: it depends on its caller, and was not
# looked for; ``failed``: the store did not answer, or what it gave was of no use.
TakeResult = Literal["hit", "empty", "unsuited", "failed"]


class OutgoingSpan(Protocol):
    """The span of one request to the provider."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers by which the provider's trace joins this one."""

    def end(self, outcome: TryOutcome, status: int | None) -> None:
        """The request to the provider is over."""


class Trace(Protocol):
    """The trace that a request is part of."""

    @property
    def trace_id(self) -> str:
        """Return 32 hexadecimal digits."""

    @property
    def sampled(self) -> bool:
        """Return whether the trace is recorded. Only then can a reader look it up."""

    def ask(self, deployment: str | None, method: str = "POST") -> OutgoingSpan:
        """Begin the span of a request to this deployment's provider."""


class Try(NamedTuple):
    """One request to a provider. ``status`` is None where no answer came."""

    deployment: str | None
    seconds: float
    outcome: TryOutcome
    status: int | None


@dataclass(slots=True)
class Timings:
    """Where a request's time went, in seconds; the log line shows them in milliseconds.

    ``provider`` includes the pauses between tries. ``idle`` is the wait for the caller's body, or for another
    relay of the same offer. ``store_steps`` are (name, start, end). ``model`` and ``deployment`` are those of
    the handle or of the last try; they are None until they are known. ``pool`` is what a take from a warm
    pool came to; None without one.
    """

    provider: float = 0.0
    store: float = 0.0
    idle: float = 0.0
    model: str | None = None
    deployment: str | None = None
    pool: TakeResult | None = None
    trace: Trace | None = None
    tries: list[Try] = field(default_factory=list)
    store_steps: list[tuple[StoreStep, float, float]] = field(default_factory=list)

    def store_took(self, step: StoreStep, started: float, ended: float) -> None:
        """Add a step at the store, whether it succeeded or failed."""
        self.store += ended - started
        self.store_steps.append((step, started, ended))
