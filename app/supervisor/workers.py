"""Runs a replica as several workers."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

from app.settings import Settings
from app.supervisor.listening import close_ports, open_ports
from app.supervisor.supervisor import Supervisor
from app.supervisor.worker import CrewMember


def run_workers(count: int, settings: Settings, work: Callable[[CrewMember], int]) -> None:
    """Run so many workers until a signal ends them.

    Args:
        count: of workers.
        settings: where to listen, and how long the end may take.
        work: is called in each new process, and returns its exit status.

    Raises:
        WorkersFailed: they cannot be kept alive.
        OSError: an address is taken or not ours.
    """
    sets = open_ports(settings, count)

    def be_worker(number: int, line: socket.socket) -> int:
        return work(CrewMember(number, line, sets))

    # The memory of what is there before the first fork stays shared while no collector writes to it.
    gc.collect()
    gc.freeze()
    try:
        ending = settings.drain_seconds + settings.shutdown_seconds
        Supervisor(count, be_worker, sets, ending_seconds=ending).run()
    finally:
        close_ports(sets)
