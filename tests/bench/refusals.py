"""``python -m tests.bench.refusals``: what requests and connections cost that bring their sender nothing.

    --rounds 5 --seconds 1      more or longer rounds
    --connections 32            of the load
    --page                      write the table into docs/denial-of-service.md, too

CPU microseconds of one replica for each request, beside a bare server's request in the same run, and round
trips to the store as the store counts them. CPU time barely moves on a busy machine; the servers take turns
all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.handles.keyring import parse_signing_ring
from app.handles.tokens import HandleIssuer, new_handle_id
from app.store.embedded.engine import LocalEngine
from tests.bench import procfs, traffic
from tests.bench.contenders import MINT_PATH, Cloakroom, Contender, Floor, mint_load, mint_once, relay_load
from tests.bench.machine import commit
from tests.bench.measure import sample, until_idle
from tests.bench.nginx import Provider
from tests.bench.report import DOCS, filled
from tests.bench.tools import run_to_end
from tests.bench.wrk import Load, request_template

PAGE: Final = DOCS / "denial-of-service.md"
BARE: Final = "a bare server's request"
_OPENED: Final = 2000
_EXPIRED_SECONDS: Final = 7000


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: what is sent, to which server, and with which status it is answered."""

    name: str
    server: Contender
    load: Load
    status: int


@dataclass(frozen=True, slots=True)
class Servers:
    """``counting`` limits no address and ``limiting`` does, as every replica does by default."""

    redis_url: str
    floor: Floor
    counting: Cloakroom
    limiting: Cloakroom
    small_key: str
    admin_key: str


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Everything that is measured, running."""
    mine, others = procfs.split_cpus()
    os.sched_setaffinity(0, others)
    small_key = "ck_small_" + secrets.token_urlsafe(24)
    more = {
        "CLOAKROOM_CLIENTS": json.dumps({"small": {"api_key": small_key, "mints_per_minute": 1}}),
        "CLOAKROOM_HANDLE_MAX_CALLS": "1",
    }
    unlimited = {
        **more,
        "CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE": "0",
        "CLOAKROOM_CONNECTIONS_PER_ADDRESS": "0",
    }
    with (
        LocalEngine() as engine,
        Provider(cpus=others) as provider,
        Floor(provider=provider.url, redis=engine.url, cpus=mine) as floor,
        contextlib.ExitStack() as both,
    ):
        procfs.pin(engine.pid, others)
        counting, limiting = (
            both.enter_context(
                Cloakroom(provider=provider.url, redis=engine.url, cpus=mine, name=name, more=settings)
            )
            for name, settings in (("counting", unlimited), ("limiting", more))
        )
        yield Servers(engine.url, floor, counting, limiting, small_key, counting.planted.admin_key)


def kinds(given: Servers) -> list[Kind]:
    """Every row that is a request."""
    counting, limiting = given.counting, given.limiting
    nobody = mint_load("ck_nobody_" + secrets.token_urlsafe(24))
    forged = relay_load((_handle(expired=False),))
    bare = mint_load("ck_floor", path=f"/0{MINT_PATH}")
    return [
        Kind(BARE, given.floor, bare, 200),
        Kind("a mint that is served", counting, counting.mint(limited=False), 200),
        Kind("a path that is not there", counting, _get("/nothing"), 404),
        Kind("`GET /readyz`", counting, _get("/readyz"), 200),
        Kind("`GET /metrics`", counting, _get("/metrics"), 200),
        Kind("a mint with a wrong client key", counting, nobody, 401),
        Kind("the same, past its address's limit", limiting, nobody, 429),
        Kind("an offer with a forged handle", counting, forged, 401),
        Kind("the same, past its address's limit", limiting, forged, 429),
        Kind("an offer with an expired handle", counting, relay_load((_handle(counting),)), 401),
        Kind("an offer with a revoked handle", counting, relay_load((_revoked(given),)), 401),
        Kind("an offer with a spent handle", counting, relay_load((_spent(counting),)), 409),
        Kind("a mint past its client's `mints_per_minute`", counting, mint_load(given.small_key), 429),
    ]


def _get(path: str) -> Load:
    template = request_template(path, (("Accept", "*/*"),), b"")
    return Load(template.replace(b"POST ", b"GET ", 1).replace(b"Content-Length: 0\r\n", b"", 1), ("",))


def _handle(signer: Cloakroom | None = None, *, expired: bool = True) -> str:
    """A handle of this replica's ring, or of a ring that nobody has."""
    ring = signer.planted.signing if signer is not None else "sign1:" + secrets.token_urlsafe(32)
    now = time.time()
    signed_at = now - _EXPIRED_SECONDS if expired else now
    issuer = HandleIssuer(parse_signing_ring(ring), prefix="ek_", clock=lambda: signed_at)
    return issuer.issue(new_handle_id(), expires_at=int(now) + (-1 if expired else 600))


def _revoked(given: Servers) -> str:
    handle = str(mint_once(given.counting.url, given.counting.planted.client_key)["value"])
    revoke = urllib.request.Request(
        f"{given.counting.url}/admin/v1/handles/{_id_of(handle, given.counting)}/revoke",
        method="POST",
        headers={"Authorization": f"Bearer {given.admin_key}"},
    )
    with urllib.request.urlopen(revoke, timeout=30):
        return handle


def _id_of(handle: str, signer: Cloakroom) -> str:
    ring = parse_signing_ring(signer.planted.signing)
    return HandleIssuer(ring, prefix="ek_", clock=time.time).verify(handle).id


def _spent(replica: Cloakroom) -> str:
    handle = str(mint_once(replica.url, replica.planted.client_key)["value"])
    traffic.send(replica.url, relay_load((handle,)), 1)
    return handle


def opened(server: Contender, number: int = _OPENED) -> float:
    """CPU microseconds of a connection that is opened, sends nothing, and is closed."""
    where = urlsplit(server.url)
    before = procfs.cpu_seconds(server.pid)
    for _ in range(number):
        socket.create_connection((where.hostname, where.port), timeout=30).close()
    until_idle(server)
    return (procfs.cpu_seconds(server.pid) - before) / number * 1e6


def measured(given: Servers, rounds: int, seconds: float, connections: int) -> Iterator[dict[str, Any]]:
    """One row after the other: its name, CPU in each round, status and round trips."""
    _, others = procfs.split_cpus()
    work = kinds(given)
    for kind in work:
        # Past the limit at once, and every other first time is over.
        enough = 400 if kind.server is given.limiting else 20
        traffic.send(kind.server.url, kind.load, enough, answers=frozenset({kind.status, 200, 401}))
    spent: dict[int, list[float]] = {}
    for number in range(rounds + 1):
        sys.stderr.write(f"\rround {number} of {rounds} " if number else "\rwarming up ")
        sys.stderr.flush()
        for place, kind in enumerate(work):
            taken = sample(kind.server, kind.load, connections=connections, seconds=seconds, cpus=others)
            if number:
                spent.setdefault(place, []).append(taken.cpu_us)
    sys.stderr.write("\n")
    for place, kind in enumerate(work):
        trips = 0.0
        if kind.server is not given.floor:
            answers = frozenset({kind.status, 200, 401})
            trips = traffic.count(given.redis_url, kind.server.url, kind.load, answers=answers).round_trips
        yield {"name": kind.name, "cpu_us": spent[place], "status": kind.status, "trips": trips}
    each = [opened(given.counting) for _ in range(rounds)]
    yield {"name": "a connection that is opened, sends nothing and is closed", "cpu_us": each}


def table(rows: list[dict[str, Any]], *, load: float) -> Iterator[str]:
    """Markdown: the medians, and each over the bare server's request."""
    bare = statistics.median(next(row for row in rows if row["name"] == BARE)["cpu_us"])
    yield (
        f"Measured at commit `{commit()}`, load average {load:.1f} at the start, the median of "
        f"{len(rows[0]['cpu_us'])} rounds."
    )
    yield ""
    yield "| | answer | CPU of a replica, us | of a bare request | round trips to the store |"
    yield "|---|---:|---:|---:|---:|"
    for row in rows:
        cpu = statistics.median(row["cpu_us"])
        trips = "0" if row.get("trips", 0) < 0.5 else f"{row['trips']:.0f}"
        yield f"| {row['name']} | {row.get('status', '-')} | {cpu:.0f} | {cpu / bare:.2f} | {trips} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.refusals", description="What refusals cost, per request."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of each run; one run a row and round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE.name}, too")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with servers() as given:
        rows = list(measured(given, chosen.rounds, chosen.seconds, chosen.connections))
    text = "\n".join(table(rows, load=load))
    sys.stdout.write(text + "\n")
    if chosen.page:
        makers: dict[str, Callable[[], str]] = {"refusals": lambda: text}
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), makers))


if __name__ == "__main__":
    sys.exit(run_to_end(main))
