"""What everything else is made of: bounds, paths, clocks and secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, dataclass_transform

# OpenAI's bounds on ``expires_after.seconds`` (its API reference, "Create client secret"), in seconds.
MIN_KEY_SECONDS: Final = 10
MAX_KEY_SECONDS: Final = 7200
# OpenAI's default of it; where no provider mints, ours.
USUAL_KEY_SECONDS: Final = 600
# OpenAI ends a session after an hour (its guide "Realtime conversations"), in seconds.
LONGEST_CALL_SECONDS: Final = 3600
# A call that may last less than this is of no use.
SHORTEST_CALL_SECONDS: Final = 10

# The default wherever a model is needed and none is named: it has no announced end.
USUAL_MODEL: Final = "gpt-realtime-2.1"

# Where calls live: ``Location`` leads with it whatever the family, because hanging up is the same for all.
CALLS_PATH: Final = "/v1/realtime/calls"
TRANSLATION_CALLS_PATH: Final = "/v1/realtime/translations/calls"
# The same for callers that speak GPT-Live's own form.
LIVE_PATH: Final = "/v1/live/sessions"


T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A dataclass that the type checker holds frozen, for what is made in each request.

    Frozen at run time, it would cost 60 ns more for each field: 3 % of a mint.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` returns epoch seconds, ``monotonic`` seconds that never jump. Tests pass their own."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


class Secret:
    """A string that never shows itself: ``repr``, ``str`` and ``format`` are masked.

    It has no ``__dict__`` and refuses to be pickled, so it cannot slip into a log or a cache
    by way of a generic dump. Call ``reveal()`` where the value goes on the wire, nowhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not serialised")
