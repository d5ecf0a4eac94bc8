"""What one request leaves in Redis and moves over the network, in bytes: what capacity is planned with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import redis

from app.store import keys
from tests.bench import trips
from tests.bench.contenders import Contender
from tests.bench.wrk import Load

_RELAYS: Final = 3000
_ANSWERS: Final = f"{keys.PREFIX}:claim:*"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that the replica read from and wrote to all its connections in one request, without its log."""

    read: float
    written: float
    logged: float


def traffic(contender: Contender, log: Path, load: Load, *, requests: int = 200) -> Traffic:
    """Send requests one by one; the kernel counts what the process reads and writes."""
    trips.send(contender.url, load, 10)
    before, lines = _counters(contender.pid), log.stat().st_size
    trips.send(contender.url, load, requests)
    after, logged = _counters(contender.pid), log.stat().st_size - lines
    return Traffic(
        read=(after["rchar"] - before["rchar"]) / requests,
        written=(after["wchar"] - before["wchar"] - logged) / requests,
        logged=logged / requests,
    )


def _counters(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def left_by_a_relay(store: redis.Redis, contender: Contender, load: Load) -> dict[str, float]:
    """Bytes of memory that a relay leaves: the answer, kept for the replay window, and the call on record.

    The whole is the growth of ``used_memory``; the answer's part is what the server says of its key.
    """
    trips.send(contender.url, load, 10)
    # Answers of earlier runs would run out in the middle of it.
    for name in store.scan_iter(match=_ANSWERS, count=1000):
        store.delete(name)
    before = _used(store)
    trips.send(contender.url, load, _RELAYS)
    whole = (_used(store) - before) / _RELAYS
    answers = []
    for name in store.scan_iter(match=_ANSWERS, count=1000):
        answers.append(int(cast(int, store.memory_usage(name, samples=0))))
        if len(answers) == 100:
            break
    answer = sum(answers) / max(1, len(answers))
    return {"answer": answer, "call": whole - answer}


def _used(store: redis.Redis) -> int:
    return int(store.info("memory")["used_memory"])


def footprint(store: redis.Redis, contender: Contender, log: Path, work: dict[str, Load]) -> dict[str, Any]:
    """Traffic of every kind of request, and what a relay leaves."""
    return {
        "traffic": {kind: asdict(traffic(contender, log, load)) for kind, load in work.items()},
        "left": left_by_a_relay(store, contender, work["relay"]),
    }
