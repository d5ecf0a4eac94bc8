"""Writes that must follow what already happened at the provider.

By the time a relay settles, the call exists. Its record must follow even when the caller leaves or the store
is away for a moment. A write that was cut off, or that the store did not take, is repeated in the background.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

from app.errors import StoreUnavailable

log = structlog.get_logger("cloakroom.settlement")

Write = Callable[[], Awaitable[None]]

REPEAT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5


class Settlement:
    """Keeps the unfinished writes of this process.

    Args:
        monotonic: returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._tasks: set[asyncio.Task[None]] = set()
        # Writes that the store never took, since the start of the process.
        self.given_up = 0

    @property
    def pending(self) -> int:
        """Writes that are being repeated."""
        return len(self._tasks)

    async def write(self, what: str, write: Write, **about: str) -> None:
        """Run ``write`` to its end even when the caller is cancelled. Never raises ``StoreUnavailable``.

        ``what`` and ``about`` go into the log should the write be late.
        """
        # Not under a shield, which costs each relay a task: a write that was cancelled is started again in a
        # task. Every write may be repeated.
        try:
            await write()
        except StoreUnavailable:
            self.write_later(what, write, **about)
        except asyncio.CancelledError:
            self.write_soon(what, write, **about)
            raise

    def write_soon(self, what: str, write: Write, **about: str) -> None:
        """Run ``write`` in the background, and repeat it until the store takes it. Returns at once."""
        self._start(self._write_or_repeat(what, write, about))

    def write_later(self, what: str, write: Write, **about: str) -> None:
        """Repeat ``write`` in the background until the store takes it, after a first try that failed."""
        log.error("settlement_delayed", what=what, **about)
        self._start(self._repeat(what, write, about))

    async def close(self, *, grace: float) -> None:
        """Give unfinished writes ``grace`` seconds, then give them up."""
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=grace)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _write_or_repeat(self, what: str, write: Write, about: dict[str, str]) -> None:
        try:
            await write()
        except StoreUnavailable:
            self.write_later(what, write, **about)

    async def _repeat(self, what: str, write: Write, about: dict[str, str]) -> None:
        deadline = self._monotonic() + REPEAT_SECONDS
        while self._monotonic() < deadline:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await write()
            except StoreUnavailable:
                continue
            log.warning("settled_late", what=what, **about)
            return
        self.given_up += 1
        log.error("settlement_given_up", what=what, **about)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
