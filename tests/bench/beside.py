"""What requests notice of operators who work at the same time: the same load, alone and beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis

from tests.bench.contenders import Cloakroom
from tests.bench.measure import Sample, sample, summary
from tests.bench.tools import ROOT, BenchError
from tests.bench.wrk import Load

# A page is a matter of milliseconds, so this list never ends within a run.
_LISTING: Final = ("handles", "list", "--all", "--quiet")
_ROUNDS: Final = 5
_SECONDS: Final = 1.0


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
                    sample(replica, load, connections=connections, seconds=_SECONDS, cpus=cpus)
                )
    return {kind: {way: summary(taken[kind, way]) for way in ("alone", "beside")} for kind in work}


@contextmanager
def _listing(replica: Cloakroom) -> Iterator[None]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "CLOAKROOM_ADMIN_URL": replica.url,
        "CLOAKROOM_ADMIN_KEY": replica.planted.admin_key,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "app", *_LISTING], cwd=ROOT, env=environment, stdout=subprocess.PIPE
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
