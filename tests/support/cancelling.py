"""Cancels a coroutine at one of its awaits, chosen by number, in either way in which a task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

# ``waiting``: while it waits. ``ready``: what it waits for has just come, and it has not gone on yet.
When = Literal["waiting", "ready"]


class CancelledAt(Generic[T]):
    """Await this in the place of the coroutine. It cancels the task around it, as a server would.

    Args:
        at: the number of the await, from 1. A coroutine that has fewer runs to its end.

    Attributes:
        steps: awaits so far at which the coroutine had to wait.
        struck: whether the cancellation came.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, when: When = "waiting") -> None:
        self._coroutine = coroutine
        self._at = at
        self._when = when
        self.steps = 0
        self.struck = False

    def __await__(self) -> Generator[Any, Any, T]:
        task, inner = asyncio.current_task(), self._coroutine.__await__()
        assert task is not None
        error: BaseException | None = None
        while True:
            try:
                awaited = inner.send(None) if error is None else inner.throw(error)
            except StopIteration as done:
                result: T = done.value
                return result
            self.steps += 1
            if self.steps == self._at:
                self._cancel(task, awaited)
            error = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown

    def _cancel(self, task: asyncio.Task[Any], awaited: Any) -> None:
        self.struck = True
        # What ``asyncio.sleep(0)`` waits for is nothing at all.
        if self._when == "ready" and isinstance(awaited, asyncio.Future):
            # Before the task's own callback, which is added after this.
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)
