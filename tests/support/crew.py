"""A replica of several workers, as a test sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.clocks import until
from tests.support.processes import Replica


class Crew(Replica):
    """``python -m app serve --workers N`` on a free port; returns when all workers listen."""

    def __init__(self, name: str, environment: Mapping[str, str], workers: int | str) -> None:
        super().__init__(name, environment, "--workers", str(workers))
        try:
            self.count: int = self.wait_for_event("workers_listening")["workers"]
        except BaseException:
            self.stop()
            raise

    def pids(self) -> dict[int, int]:
        """The process of each worker that was started last, by the worker's number."""
        return {event["worker"]: event["worker_pid"] for event in self.events("worker_started")}

    def kill(self, worker: int) -> int:
        """Kill this worker as the kernel does where memory runs out; returns its process id."""
        pid = self.pids()[worker]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_next(self, worker: int, after: int) -> int:
        """Wait until another process than ``after`` is this worker, and return it."""
        until(lambda: self.pids()[worker] != after, lambda: f"no new worker {worker}:\n{self.output}")
        return self.pids()[worker]


def alive(pid: int) -> bool:
    """Whether the process is there, and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


async def stats(http: aiohttp.ClientSession, base: str, admin_key: str) -> dict[str, Any]:
    """``GET /admin/v1/stats``."""
    async with http.get(f"{base}/admin/v1/stats", headers={"Authorization": f"Bearer {admin_key}"}) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


def fresh_connections() -> aiohttp.ClientSession:
    """A client that connects for each request, as many load balancers do, so that any worker may answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=aiohttp.ClientTimeout(total=60)
    )
