"""What operators wait for at a given number of live handles, and what requests notice of them.

The store's directory is timed directly, then a replica's admin API and the command line. The same load
runs alone and while an operator lists all handles.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis

from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.driver import connect
from app.store.listing.directory import HandleDirectory
from app.store.listing.views import HandleFilter
from tests.bench.contenders import Cloakroom
from tests.bench.fill import CLIENTS, LEAVER
from tests.bench.measure import Sample, sample, summary, until_idle
from tests.bench.tools import ROOT, BenchError
from tests.bench.wrk import Load

_PAGE: Final = 100
_TRIES: Final = 9
# One of the clients that share the handles evenly: a twentieth of all.
_REVOKED: Final = f"client-{CLIENTS - 1}"
# A page is a matter of milliseconds, so this list never ends within a run.
_LISTING: Final = ("handles", "list", "--all", "--quiet")
_ROUNDS: Final = 5
_SECONDS: Final = 1.0


async def _median_ms(work: Callable[[], Awaitable[Any]]) -> float:
    taken = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken)[_TRIES // 2]


async def _operations(url: str) -> dict[str, float]:
    client = connect(parse_address(url), replica="bench", timeout=5.0, max_connections=4)
    connection = StoreConnection(client, replica="bench", timeout=5.0)
    directory = HandleDirectory(connection)
    try:
        return await _measured(directory)
    finally:
        await connection.close()


async def _measured(directory: HandleDirectory) -> dict[str, float]:
    now = time.time()
    everybody, leaver = HandleFilter(), HandleFilter(client=LEAVER)
    first = (await directory.page(everybody, now=now, limit=1)).items[0]
    found = {
        "page_ms": await _median_ms(lambda: directory.page(everybody, now=now, limit=_PAGE)),
        "page_of_a_client_ms": await _median_ms(lambda: directory.page(leaver, now=now, limit=_PAGE)),
        "count_ms": await _median_ms(lambda: directory.count(everybody, now=now)),
        "show_ms": await _median_ms(lambda: directory.get(first.id)),
    }
    started = time.perf_counter()
    await directory.revoke(first.id, by="bench", now=now)
    found["revoke_one_ms"] = (time.perf_counter() - started) * 1e3
    revoked, cursor, pages, longest = 0, None, 0, 0.0
    started = time.perf_counter()
    while pages == 0 or cursor is not None:
        page_started = time.perf_counter()
        page = await directory.revoke_page(leaver, by="bench", now=now, cursor=cursor)
        longest = max(longest, time.perf_counter() - page_started)
        revoked, cursor, pages = revoked + page.revoked + page.already, page.next_cursor, pages + 1
    found["revoke_client_ms"] = (time.perf_counter() - started) * 1e3
    found["revoked_of_client"] = revoked
    found["revoke_longest_page_ms"] = longest * 1e3
    return found


def operations(url: str) -> dict[str, float]:
    """List, count, show, revoke one, revoke a client's every handle; milliseconds.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    return asyncio.run(_operations(url))


def operator_times(replica: Cloakroom) -> dict[str, float]:
    """A page by the admin API, and ``cloakroom handles`` listing and revoking; milliseconds.

    Raises:
        BenchError: the replica or the command refused.
    """
    page = sorted(_page_ms(replica) for _ in range(_TRIES))[_TRIES // 2]
    listed_ms, _ = _command(replica, "handles", "list", "--limit", str(_PAGE), "--quiet")
    revoked_ms, printed = _command(replica, "handles", "revoke", "--client", _REVOKED, "--yes", "--quiet")
    return {
        "admin_page_ms": page,
        "command_list_ms": listed_ms,
        "command_revoke_ms": revoked_ms,
        "command_revoked": float(printed.strip() or 0),
    }


def _page_ms(replica: Cloakroom) -> float:
    request = urllib.request.Request(
        f"{replica.url}/admin/v1/handles?limit={_PAGE}",
        headers={"Authorization": f"Bearer {replica.planted.admin_key}"},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as response:
        response.read()
    return (time.perf_counter() - started) * 1e3


def _command(replica: Cloakroom, *arguments: str) -> tuple[float, str]:
    """Run ``cloakroom`` as an operator does; how long it took from start to end, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        check=False,
        cwd=ROOT,
        env=_environment(replica),
        capture_output=True,
        text=True,
        timeout=120,
    )
    # 1: nothing matched, as with a single handle that is somebody else's.
    if done.returncode not in (0, 1):
        raise BenchError(f"cloakroom {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return (time.perf_counter() - started) * 1e3, done.stdout


def _environment(replica: Cloakroom) -> dict[str, str]:
    """What the command line needs to reach this replica's admin API."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "CLOAKROOM_ADMIN_URL": replica.url,
        "CLOAKROOM_ADMIN_KEY": replica.planted.admin_key,
    }


def beside_operator(
    replica: Cloakroom, work: dict[str, Load], *, connections: int, cpus: set[int]
) -> dict[str, dict[str, Any]]:
    """Figures of each load ``alone`` and ``beside`` an operator who lists all handles through this replica.

    Raises:
        BenchError: the list ended, or never began.
    """
    taken: dict[tuple[str, str], list[Sample]] = {}
    for _ in range(_ROUNDS):
        for kind, load in work.items():
            taken.setdefault((kind, "alone"), []).append(
                sample(replica, load, connections=connections, seconds=_SECONDS, cpus=cpus)
            )
            with _listing(replica):
                taken.setdefault((kind, "beside"), []).append(
                    sample(replica, load, connections=connections, seconds=_SECONDS, cpus=cpus, alone=False)
                )
            until_idle(replica)
    return {kind: {way: summary(taken[kind, way]) for way in ("alone", "beside")} for kind in work}


@contextmanager
def _listing(replica: Cloakroom) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "app", *_LISTING], cwd=ROOT, env=_environment(replica), stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise BenchError("the operator's list never began")
            # Read on, or the pipe would stop it.
            with subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL):
                process.stdout.close()
                yield
                if process.poll() is not None:
                    raise BenchError("the operator's list ended during the run")
                process.send_signal(signal.SIGINT)
        finally:
            process.kill()


class LongestCommand:
    """The longest single command, or script, that Redis ran within the ``with``: ``milliseconds``.

    Everything else that it serves waits for so long.
    """

    def __init__(self, url: str) -> None:
        self._store: redis.Redis = redis.Redis.from_url(url)
        self.milliseconds = 0.0

    def __enter__(self) -> LongestCommand:
        self._store.config_set("slowlog-log-slower-than", 100)
        self._store.config_set("slowlog-max-len", 10_000)
        self._store.slowlog_reset()
        return self

    def __exit__(self, *_: object) -> None:
        entries: Any = self._store.slowlog_get(10_000)
        self._store.config_set("slowlog-log-slower-than", 10_000)
        self.milliseconds = max((entry["duration"] for entry in entries), default=100) / 1e3
        self._store.close()
