"""Figures of the whole store: counted in the background, and only while a scraper asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from app.errors import StoreUnavailable

# At most one count in this time, in seconds. Scrapers come every 15 to 60 seconds.
COUNT_EVERY_SECONDS: Final = 10.0

T_co = TypeVar("T_co", covariant=True)


class Alive(Protocol):
    """The number of handles and of calls, of all replicas together."""

    @property
    def handles(self) -> int: ...

    @property
    def calls(self) -> int: ...


class Census(Generic[T_co]):
    """Keeps the last count.

    Args:
        count: counts in the store; raises ``StoreUnavailable``.
        monotonic: returns seconds.
    """

    def __init__(self, count: Callable[[], Awaitable[T_co]], *, monotonic: Callable[[], float]) -> None:
        self._count = count
        self._monotonic = monotonic
        self._counted: float | None = None
        self._last: T_co | None = None
        self._task: asyncio.Task[None] | None = None

    def latest(self) -> T_co | None:
        """Return the last count, and begin the next one if it is due.

        The first call, and one after a failed count, gets None.
        """
        now = self._monotonic()
        due = self._counted is None or now - self._counted >= COUNT_EVERY_SECONDS
        if due and (self._task is None or self._task.done()):
            self._counted = now
            self._task = asyncio.create_task(self._take(), name="census")
        return self._last

    async def close(self) -> None:
        """Cancel a running count."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _take(self) -> None:
        try:
            self._last = await self._count()
        except StoreUnavailable:
            # While the store is down, an old number would look like a new one.
            self._last = None
