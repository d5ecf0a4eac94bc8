"""Counts how often one request goes to Redis, as the server sees it, and what it moves."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import redis

from tests.bench.tools import BenchError
from tests.bench.wrk import SERIAL, TOKEN, Load

_REQUESTS: Final = 100


@dataclass(frozen=True, slots=True)
class Trips:
    """Of one request: ``round_trips`` are reads of the server, ``commands`` are those that it ran.

    ``received`` and ``sent`` are bytes of the store's connections, as the store counts them.
    """

    round_trips: float
    commands: dict[str, float]
    received: float
    sent: float


def count(redis_url: str, base_url: str, load: Load) -> Trips:
    """Send requests one by one and take the difference of the server's own counters.

    The server counts each time that it reads from a connection; over one connection, with requests far
    smaller than its buffer, that is a round trip. A health check that falls in between shows as a hundredth.

    Raises:
        BenchError: a request was refused.
    """
    with redis.Redis.from_url(redis_url, decode_responses=True) as store:
        send(base_url, load, 10)  # the first ones load scripts and open connections
        # Our own two looks in between are taken off again; the second pair of them costs what the first did.
        idle, _, still_idle = store.info("stats"), _commands(store), store.info("stats")
        looked = int(still_idle["total_net_output_bytes"]) - int(idle["total_net_output_bytes"])
        before, commands = store.info("stats"), _commands(store)
        send(base_url, load, _REQUESTS)
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


def send(base_url: str, load: Load, number: int) -> None:
    """The load's requests over one connection, byte for byte as ``wrk`` sends them."""
    where = urlsplit(base_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    head, _, body = load.template.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    for serial in range(number):
        token = load.tokens[serial % len(load.tokens)]
        headers = dict(line.replace(TOKEN.decode(), token).split(": ", 1) for line in rest)
        unique = f"{id(connection) % 10**9:09d}{serial:09d}".encode()
        connection.request("POST", first.split(" ")[1], body.replace(SERIAL, unique), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise BenchError(f"{base_url} answered {answer.status}: {text[:300].decode('utf-8', 'replace')}")
    connection.close()
