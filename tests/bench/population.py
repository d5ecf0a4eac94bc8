"""A population of callers, simulated event by event: what they ask of the service, and what they leave in it.

Pure: chance comes from a seeded generator. A large population is simulated by a sample of it, which is exact
for the mean (a Poisson process thinned at random is one again) and errs on the safe side for peaks.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = 4000  # users that are simulated one by one at most
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Habits:
    """What callers do; times in seconds, shares 0 to 1."""

    call_seconds: float = 300.0  # mean length of a call
    call_spread: float = 1.0  # sigma of its logarithm: many short calls, a few long ones
    longest_call: float = 3600.0  # a provider ends it then
    offer_after: float = 1.0  # mean time between mint and offer
    unused: float = 0.10  # mints that no offer follows
    reconnects: float = 0.05  # calls in which the network changes: one more mint and relay
    rush: float = 2.0  # so many times the usual arrivals ...
    rush_seconds: float = 300.0  # ... for so long in every hour
    handle_seconds: float = 600.0  # a handle's life: the provider's default
    replay_seconds: float = 30.0  # how long an answer is kept
    retention_seconds: float = 7200.0  # how long a call stays on record


@dataclass(frozen=True, slots=True)
class Demand:
    """What a population asks: per second in the mean and in the busiest minute; records at their most."""

    mints: float
    relays: float
    busiest_mints: float
    busiest_relays: float
    handles: float
    calls: float
    answers: float
    talking: float


def simulate(users: int, habits: Habits, *, seed: int) -> Demand:
    """Let ``users`` be in calls at once, in the mean, and watch for an hour once everything is full.

    Args:
        users: mean number of simultaneous calls outside the rush.
        seed: of the generator; the same seed gives the same figures.
    """
    sample = min(users, _SAMPLE)
    scale, chance = users / sample, random.Random(seed)
    start = math.ceil(habits.retention_seconds / 3600) * 3600
    end = start + 3600
    mints: list[float] = []
    relays: list[float] = []
    talking = 0.0
    for arrived in _arrivals(sample / habits.call_seconds, habits, end, chance):
        talking += _visit(arrived, habits, chance, mints, relays, window=(start, end))
    mints.sort()
    relays.sort()
    by_minute = [_busiest(times, start, end) for times in (mints, relays)]
    watched = [sum(start <= at < end for at in times) / 3600 for times in (mints, relays)]
    return Demand(
        mints=watched[0] * scale,
        relays=watched[1] * scale,
        busiest_mints=by_minute[0] * scale,
        busiest_relays=by_minute[1] * scale,
        handles=_most_alive(mints, habits.handle_seconds, start, end) * scale,
        calls=_most_alive(relays, habits.retention_seconds, start, end) * scale,
        answers=_most_alive(relays, habits.replay_seconds, start, end) * scale,
        talking=talking / 3600 * scale,
    )


def _arrivals(rate: float, habits: Habits, end: float, chance: random.Random) -> Iterator[float]:
    """People who want to talk, with the rush at each hour's beginning."""
    at = 0.0
    while True:
        # Drawn at the rush's rate and thinned outside of it.
        at += chance.expovariate(rate * habits.rush)
        if at >= end:
            return
        if at % 3600 < habits.rush_seconds or chance.random() < 1 / habits.rush:
            yield at


def _visit(
    arrived: float,
    habits: Habits,
    chance: random.Random,
    mints: list[float],
    relays: list[float],
    *,
    window: tuple[float, float],
) -> float:
    """One person's mints and relays; returns the seconds of talk within the window."""
    mints.append(arrived)
    while chance.random() < habits.unused:
        arrived += chance.expovariate(1 / habits.offer_after)
        mints.append(arrived)
    begun = arrived + chance.expovariate(1 / habits.offer_after)
    relays.append(begun)
    middle = math.log(habits.call_seconds) - habits.call_spread**2 / 2
    length = min(chance.lognormvariate(middle, habits.call_spread), habits.longest_call)
    if chance.random() < habits.reconnects:
        again = begun + chance.uniform(0, length)
        mints.append(again)
        relays.append(again + chance.expovariate(1 / habits.offer_after))
    return max(0.0, min(begun + length, window[1]) - max(begun, window[0]))


def _busiest(times: list[float], start: float, end: float) -> float:
    """Events a second in the busiest minute."""
    minutes = Counter(int(at) // _MINUTE for at in times if start <= at < end)
    return max(minutes.values(), default=0) / _MINUTE


def _most_alive(births: list[float], life: float, start: float, end: float) -> int:
    """The most records at once, looked at each minute, when each lives for ``life`` seconds."""
    most = 0
    for at in range(int(start), int(end) + 1, _MINUTE):
        most = max(most, bisect_left(births, at) - bisect_left(births, at - life))
    return most


def waits(
    rates: tuple[float, float], work: tuple[float, float], *, seconds: float, seed: int
) -> tuple[float, float]:
    """How long a request waits for a replica's one processor in all: median and 99th percentile, seconds.

    A request needs it twice, before and after the provider's answer, for half of its work each time.

    Args:
        rates: mints and relays a second of one replica, arriving at random.
        work: CPU seconds of a mint and of a relay.
    """
    chance = random.Random(seed)
    slices: list[tuple[float, float, int]] = []
    number = 0
    for rate, cost in zip(rates, work, strict=True):
        at = chance.expovariate(rate)
        while at < seconds:
            slices += [(at, cost / 2, number), (at + chance.uniform(0.2, 0.8), cost / 2, number)]
            number += 1
            at += chance.expovariate(rate)
    slices.sort()
    waited, free = [0.0] * number, 0.0
    for at, cost, owner in slices:
        waited[owner] += max(0.0, free - at)
        free = max(free, at) + cost
    waited.sort()
    return waited[number // 2], waited[min(number - 1, number * 99 // 100)]
