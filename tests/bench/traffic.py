"""What one request costs outside the replica: round trips to Redis, bytes moved, memory left in Redis.

Requests are sent one by one; Redis and the kernel count.
"""

from __future__ import annotations

import http.client
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import redis

from app.store import keys
from tests.bench.contenders import Contender
from tests.bench.tools import BenchError
from tests.bench.wrk import SERIAL, TOKEN, Load

SERVED: Final = frozenset({200, 201})
_REQUESTS: Final = 100
_RELAYS: Final = 3000
_ANSWERS: Final = f"{keys.PREFIX}:claim:*"


@dataclass(frozen=True, slots=True)
class Trips:
    """Of one request: ``round_trips`` are reads of the server, ``commands`` are those that it ran.

    ``received`` and ``sent`` are bytes of the store's connections, as the store counts them.
    """

    round_trips: float
    commands: dict[str, float]
    received: float
    sent: float


def count(redis_url: str, base_url: str, load: Load, *, answers: frozenset[int] = SERVED) -> Trips:
    """Send requests one by one and take the difference of the server's own counters.

    The server counts each time that it reads from a connection; over one connection, with requests far
    smaller than its buffer, that is a round trip. A health check that falls in between shows as a hundredth.

    Raises:
        BenchError: an answer has none of the statuses in ``answers``.
    """
    with redis.Redis.from_url(redis_url, decode_responses=True) as store:
        send(base_url, load, 10, answers=answers)  # the first ones load scripts and open connections
        # Our own two looks in between are taken off again; the second pair of them costs what the first did.
        idle, _, still_idle = store.info("stats"), _commands(store), store.info("stats")
        looked = int(still_idle["total_net_output_bytes"]) - int(idle["total_net_output_bytes"])
        before, commands = store.info("stats"), _commands(store)
        send(base_url, load, _REQUESTS, answers=answers)
        after, more = store.info("stats"), _commands(store)

    def grown(counter: str) -> int:
        return int(after[counter]) - int(before[counter])

    # The look at the commands in between was a read, and so was the second look at the counters.
    reads = grown("total_reads_processed") - 2
    named = {name: (calls - commands.get(name, 0)) / _REQUESTS for name, calls in more.items()}
    return Trips(
        round_trips=round(reads / _REQUESTS, 2),
        commands={name: round(calls, 2) for name, calls in sorted(named.items()) if calls >= 0.5},
        received=round(grown("total_net_input_bytes") / _REQUESTS),
        sent=round((grown("total_net_output_bytes") - looked) / _REQUESTS),
    )


def _commands(store: redis.Redis) -> dict[str, int]:
    """Calls of each command, those inside scripts too."""
    told = store.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(figures["calls"]) for name, figures in told.items()}


def send(base_url: str, load: Load, number: int, *, answers: frozenset[int] = SERVED) -> None:
    """The load's requests over one connection, byte for byte as ``wrk`` sends them."""
    where = urlsplit(base_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    head, _, body = load.template.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    for serial in range(number):
        token = load.tokens[serial % len(load.tokens)]
        headers = dict(line.replace(TOKEN.decode(), token).split(": ", 1) for line in rest)
        unique = f"{id(connection) % 10**9:09d}{serial:09d}".encode()
        method, path, _ = first.split(" ")
        connection.request(method, path, body.replace(SERIAL, unique), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in answers:
            raise BenchError(f"{base_url} answered {answer.status}: {text[:300].decode('utf-8', 'replace')}")
    connection.close()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that the replica read from and wrote to all its connections in one request, without its log."""

    read: float
    written: float
    logged: float


def traffic(contender: Contender, log: Path, load: Load, *, requests: int = 200) -> Traffic:
    """Send requests one by one; the kernel counts what the process reads and writes."""
    send(contender.url, load, 10)
    before, lines = _counters(contender.pid), log.stat().st_size
    send(contender.url, load, requests)
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
    send(contender.url, load, 10)
    # Answers of earlier runs would run out in the middle of it.
    for name in store.scan_iter(match=_ANSWERS, count=1000):
        store.delete(name)
    before = _used(store)
    send(contender.url, load, _RELAYS)
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
