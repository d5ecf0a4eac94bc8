"""What one request waited for, and at whom it asked: its log line, metrics and spans are made of this.

A leaf module. Times are seconds on the monotonic clock of the process (``time.perf_counter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

# How a try ended. ``answered`` says nothing of the status; the others have none.
TryOutcome = Literal["answered", "unreachable", "timeout", "cut_off"]
StoreStep = Literal["limit", "save", "claim", "settle", "release", "find", "note"]


class OutgoingSpan(Protocol):
    """The span of one request to the provider."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What is sent along so that the provider's trace joins this one."""

    def end(self, outcome: TryOutcome, status: int | None) -> None:
        """The request is over."""


class Trace(Protocol):
    """The trace that a request is part of."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def sampled(self) -> bool:
        """Whether somebody keeps it: a pointer to any other leads nowhere."""

    def ask(self, deployment: str | None) -> OutgoingSpan:
        """Begin a request to this deployment's provider."""


class Try(NamedTuple):
    """One request to a provider. ``status`` is its answer's, None without one."""

    deployment: str | None
    seconds: float
    outcome: TryOutcome
    status: int | None


@dataclass(slots=True)
class Timings:
    """Where a request's time went, in seconds; the log line shows them in milliseconds.

    ``provider`` counts tries and the pauses between them; ``idle`` is what nobody worked in: the caller's
    body on its way, or another relay of the same offer. ``store_steps`` are (name, start, end).
    ``model`` and ``deployment`` are those of the handle or of the last try, None before they are known.
    """

    provider: float = 0.0
    store: float = 0.0
    idle: float = 0.0
    model: str | None = None
    deployment: str | None = None
    trace: Trace | None = None
    tries: list[Try] = field(default_factory=list)
    store_steps: list[tuple[StoreStep, float, float]] = field(default_factory=list)

    def store_took(self, step: StoreStep, started: float, ended: float) -> None:
        """Count a wait for the store, whatever came of it."""
        self.store += ended - started
        self.store_steps.append((step, started, ended))
