"""Threads that nobody waits for: a name server that hangs must not hold up the end of the command."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class AbandonableThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own.

    asyncio looks names up in its executor, and both the loop's end and the interpreter's wait for the threads
    of an ordinary one: a lookup that takes half a minute would take it, whatever deadline the caller set.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                # Whoever waits gets it, as from any executor.
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="doctor-lookup", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> Any:
        """Do nothing: the threads end with the process."""
