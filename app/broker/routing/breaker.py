"""Which deployments mints may ask now: a breaker for each, in one process.

- Closed: mints ask it. After a failure its alternatives come first for a while.
- Open: it failed too often, so no mint asks it. Callers get their answer at once, and the provider gets rest.
- Half-open: the time is over, and one mint at a time may try it. Its result closes the breaker, or opens it
  for longer.

Where a deployment has no ephemeral keys, its mints ask it nothing, and its calls tell of it instead.

Apart from that, a deployment that sent ``Retry-After`` is not asked until then. A refusal is an answer: only
a provider that cannot be reached, fails, or answers with something unusable makes a breaker open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar

import structlog

log = structlog.get_logger("cloakroom.breaker")

# So many failures with no answer between them open a breaker.
FAILURES_IN_A_ROW: Final = 5
# So do so many within the window, in seconds, if they are this share of what came in it.
FAILURES_IN_WINDOW: Final = 10
FAILING_SHARE: Final = 0.5
WINDOW_SECONDS: Final = 10.0
# A breaker is open for this long at first, and twice as long after each try that failed. A short first time,
# since a model may have no other deployment.
FIRST_OPEN_SECONDS: Final = 1.0
LONGEST_OPEN_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 10
# A longer Retry-After counts as this: a mistaken one must not take a deployment away for a day.
LONGEST_WAIT_SECONDS: Final = 300.0
# After a failure the alternatives come first for so long.
COOLING_SECONDS: Final = 5.0
# No era: of a request that began while the breaker was open.
_TOO_LATE: Final = -1
# Event loops round times by up to a millisecond: a mint that slept until a time must not come too early.
_TICK_SECONDS: Final = 0.002

T = TypeVar("T")


class Verdict(NamedTuple):
    """What one request showed about its deployment.

    ``health`` is None where it showed nothing: the caller left, or nothing was sent. ``elsewhere`` says that
    alternatives should come first for a while; ``wait`` is the provider's ``Retry-After`` in seconds;
    ``reason`` is a sentence for the log.
    """

    health: Literal["answered", "failed"] | None
    elsewhere: bool = False
    wait: float | None = None
    reason: str = ""


class Unrest(NamedTuple):
    """A deployment is in trouble for so many seconds more. ``asked``: its provider asked us to wait."""

    seconds: float
    asked: bool


SHOWS_NOTHING: Final = Verdict(None)
ANSWERED: Final = Verdict("answered")


@dataclass(slots=True)
class _Trouble:
    """One deployment's recent failures, and what follows from them. Times are on the monotonic clock."""

    # Requests that began in an earlier era come too late to change anything.
    era: int = 0
    cool_until: float = 0.0
    wait_until: float = 0.0
    # 0 while the breaker is closed.
    open_until: float = 0.0
    openings: int = 0
    trying: bool = False
    in_a_row: int = 0
    window_began: float = -math.inf
    failures: int = 0
    answers: int = 0

    def ready_at(self) -> float:
        """When it may be asked again, unless a try is under way."""
        return max(self.open_until, self.wait_until)

    def count_failure(self, now: float) -> bool:
        """Returns whether there have been too many."""
        if now - self.window_began > WINDOW_SECONDS:
            self.window_began, self.failures, self.answers = now, 0, 0
        self.in_a_row += 1
        self.failures += 1
        share = self.failures / (self.failures + self.answers)
        return self.in_a_row >= FAILURES_IN_A_ROW or (
            self.failures >= FAILURES_IN_WINDOW and share >= FAILING_SHARE
        )

    def over(self, now: float) -> bool:
        """Whether nothing that is known matters any more."""
        recent = max(self.window_began + WINDOW_SECONDS, self.cool_until, self.wait_until)
        return self.open_until == 0 and self.in_a_row == 0 and now > recent


class Breakers:
    """The breakers of all deployments, by name. What is healthy costs one look into a dictionary.

    Args:
        monotonic: returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._troubled: dict[str, _Trouble] = {}

    def in_order(self, choices: Sequence[T], name_of: Callable[[T], str]) -> Sequence[T]:
        """The choices whose deployments may be asked now; those that just failed come last."""
        if not self._troubled:
            return choices
        now = self._monotonic()
        ready = [one for one in choices if self._seconds_left(name_of(one), now) <= 0]
        return sorted(ready, key=lambda one: self._cools(name_of(one), now))

    def enter(self, name: str) -> int | None:
        """Ask for leave to send one request. ``leave`` must follow, with the number that this returns.

        Returns None while the deployment must not be asked.
        """
        trouble = self._troubled.get(name)
        if trouble is None:
            return 0
        if self._seconds_left(name, self._monotonic()) > 0:
            return None
        if trouble.open_until > 0:
            trouble.era += 1
            trouble.trying = True
        return trouble.era

    def leave(self, name: str, era: int, verdict: Verdict) -> None:
        """The request is over. ``era`` is what ``enter`` returned."""
        trouble = self._troubled.get(name)
        if trouble is None:
            if verdict is ANSWERED or verdict is SHOWS_NOTHING:
                return
            trouble = self._troubled[name] = _Trouble()
        now = self._monotonic()
        if verdict.elsewhere:
            trouble.cool_until = now + COOLING_SECONDS
        if verdict.wait:
            self._wait(name, trouble, now, verdict.wait)
        if era == trouble.era:
            self._judge(name, trouble, now, verdict)
        if trouble.over(now):
            del self._troubled[name]

    def tell(self, name: str, verdict: Verdict) -> None:
        """A call showed this, which was made without leave. While the breaker is open it changes nothing."""
        era, trouble = 0, self._troubled.get(name)
        if trouble is not None:
            era = trouble.era
            if trouble.open_until > self._monotonic():
                era = _TOO_LATE
            elif trouble.open_until > 0:
                trouble.trying = True
        self.leave(name, era, verdict)

    def retry_after(self, names: Iterable[str]) -> int:
        """Whole seconds until the first of these may be asked again, 1 at least."""
        now = self._monotonic()
        return max(math.ceil(min(self._seconds_left(name, now) for name in names) - _TICK_SECONDS), 1)

    def is_calm(self, name: str) -> bool:
        """Whether the deployment may be asked and has not just failed, or asked for a pause."""
        now = self._monotonic()
        return name not in self._troubled or not (self._cools(name, now) or self._seconds_left(name, now))

    def unrest(self, name: str) -> Unrest | None:
        """Until when the deployment is not calm; None where it is."""
        if self.is_calm(name):
            return None
        now, trouble = self._monotonic(), self._troubled[name]
        seconds = max(self._seconds_left(name, now), trouble.cool_until - now)
        return Unrest(seconds, asked=trouble.wait_until > now)

    def cooling(self) -> Iterator[str]:
        """The deployments that mints try after their alternatives."""
        now = self._monotonic()
        return (name for name in self._troubled if self._cools(name, now))

    def closed(self) -> Iterator[str]:
        """The deployments that mints do not ask now."""
        now = self._monotonic()
        return (name for name in self._troubled if self._seconds_left(name, now) > 0)

    def _cools(self, name: str, now: float) -> bool:
        trouble = self._troubled.get(name)
        return trouble is not None and trouble.cool_until > now

    def _seconds_left(self, name: str, now: float) -> float:
        """Until it may be asked; 0 where it may. While a try is under way nobody knows, so it is a second."""
        trouble = self._troubled.get(name)
        if trouble is None:
            return 0.0
        left = trouble.ready_at() - now
        if trouble.trying:
            return max(left, 1.0)
        return left if left > _TICK_SECONDS else 0.0

    def _wait(self, name: str, trouble: _Trouble, now: float, seconds: float) -> None:
        bounded = min(seconds, LONGEST_WAIT_SECONDS)
        if trouble.wait_until <= now:
            log.info("provider_asked_to_wait", deployment=name, seconds=bounded)
        trouble.wait_until = max(trouble.wait_until, now + bounded)

    def _judge(self, name: str, trouble: _Trouble, now: float, verdict: Verdict) -> None:
        tried, trouble.trying = trouble.trying, False
        if verdict.health == "answered":
            trouble.in_a_row = 0
            trouble.answers += 1
            if trouble.open_until > 0:
                log.warning("breaker_closed", deployment=name, openings=trouble.openings)
                trouble.open_until, trouble.openings, trouble.window_began = 0.0, 0, -math.inf
        elif verdict.health == "failed" and (trouble.count_failure(now) or tried):
            self._open(name, trouble, now, verdict.reason)

    def _open(self, name: str, trouble: _Trouble, now: float, reason: str) -> None:
        seconds = min(FIRST_OPEN_SECONDS * 2 ** min(trouble.openings, _MOST_DOUBLINGS), LONGEST_OPEN_SECONDS)
        trouble.era += 1
        trouble.openings += 1
        trouble.open_until = now + seconds
        log.warning(
            "breaker_opened",
            deployment=name,
            seconds=seconds,
            openings=trouble.openings,
            failures_in_a_row=trouble.in_a_row,
            reason=reason,
        )
