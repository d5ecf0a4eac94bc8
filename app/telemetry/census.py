"""How many handles and calls are alive: counted in the background, only while somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from app.errors import StoreUnavailable

# A count is this fresh at best, in seconds; scrapers come every 15 to 60.
COUNT_EVERY_SECONDS: Final = 10.0


class Alive(Protocol):
    """Handles and calls of all replicas together."""

    @property
    def handles(self) -> int: ...

    @property
    def calls(self) -> int: ...


class Census:
    """Keeps the last count.

    Args:
        count: asks the store; raises ``StoreUnavailable``.
        monotonic: returns seconds.
    """

    def __init__(self, count: Callable[[], Awaitable[Alive]], *, monotonic: Callable[[], float]) -> None:
        self._count = count
        self._monotonic = monotonic
        self._counted: float | None = None
        self._last: Alive | None = None
        self._task: asyncio.Task[None] | None = None

    def latest(self) -> Alive | None:
        """The last count at once, None before the first and after one that failed; begins the next if due."""
        now = self._monotonic()
        due = self._counted is None or now - self._counted >= COUNT_EVERY_SECONDS
        if due and (self._task is None or self._task.done()):
            self._counted = now
            self._task = asyncio.create_task(self._take(), name="census")
        return self._last

    async def close(self) -> None:
        """End a count that is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _take(self) -> None:
        try:
            self._last = await self._count()
        except StoreUnavailable:
            # An old number beside a store that is down would look like a live one.
            self._last = None
