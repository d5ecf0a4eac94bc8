"""Keeps what is fetched fresh in the background, so that a request finds it and never waits for it.

One task fetches, sleeps until it is time again, and fetches again, so two fetches never overlap. While
fetches fail, what was fetched before stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from app.models import Secret
from app.providers.answers import is_key

Kept = TypeVar("Kept")

# The least time between two fetches, whatever is fetched says.
_LEAST_SECONDS: Final = 1.0
FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 30.0
# Of the pause after a failure: an outage of hours must not count up to a number that no float can hold.
_MOST_DOUBLINGS: Final = 10
# Long sleeps go in pieces, so that a machine that was suspended, or whose clock was set, notices in time.
_LONGEST_SLEEP_SECONDS: Final = 60.0
# Replicas that started together should not all ask in the same second.
_SPREAD: Final = 0.1
_MOST_BYTES: Final = 16_384


class FetchFault(Exception):
    """Nothing was fetched. The message is a clause, safe to show, and says what to change."""


class Keeper(ABC, Generic[Kept]):
    """Keeps one thing. A subclass says when it is to be fetched again, and tells the log.

    Args:
        fetch: asks once; raises ``FetchFault``.
        fetch_seconds: how long one fetch may take.
        early_every: seconds between two fetches before their time, at least.
        clock: returns epoch seconds.

    Attributes:
        kept: what was fetched last; None before the first.
        fault: why the last fetch failed, a clause; "" after a good one.
        next_at: when the next one comes by itself, in epoch seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Kept]],
        *,
        fetch_seconds: float,
        early_every: float,
        clock: Callable[[], float],
    ) -> None:
        self.kept: Kept | None = None
        self.fault = "none was given yet"
        self.next_at = 0.0
        self._fetch = fetch
        self._fetch_seconds = fetch_seconds
        self._clock = clock
        self._ended = asyncio.Event()
        self._early = asyncio.Event()
        self._early_every = early_every
        self._early_at = -early_every
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, wait: float) -> bool:
        """Begin, and give the first fetch ``wait`` seconds; return whether it has ended by then.

        If it brings nothing, the service starts all the same: the rest of it works.
        """
        ended = self._ended
        self._task = asyncio.create_task(self._keep())
        return await self._within(ended, wait)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hurry(self) -> bool:
        """Fetch before it is time; return False where that was done a moment ago, or nothing is kept yet."""
        now = self._clock()
        # A clock that was set back must not put it off.
        if self.kept is None or 0 <= now - self._early_at < self._early_every:
            return False
        self._early_at = now
        self._early.set()
        return True

    @property
    def hurrying(self) -> bool:
        """Whether such a fetch was asked for, and has not ended."""
        return self._early.is_set()

    async def next_end(self, *, wait: float) -> bool:
        """Wait for the end of the fetch that is under way, or comes next; False after ``wait`` seconds."""
        return await self._within(self._ended, wait)

    @abstractmethod
    def due(self, kept: Kept) -> float:
        """When to fetch again, in epoch seconds."""

    @abstractmethod
    def tell_fetched(self, kept: Kept) -> None:
        """Log, and count, a fetch."""

    @abstractmethod
    def tell_failed(self) -> None:
        """Log, and count, one that failed; ``fault`` says why."""

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._fetch_seconds):
                    kept = await self._fetch()
            except Exception as fault:
                # Any error: if the keeper died, what it keeps would grow old unnoticed.
                failures += 1
                self.fault = self._told(fault)
                self.tell_failed()
                pause = min(
                    FIRST_RETRY_SECONDS * 2 ** min(failures - 1, _MOST_DOUBLINGS), _LONGEST_RETRY_SECONDS
                )
            else:
                failures, self.fault = 0, ""
                self.tell_fetched(kept)
                self.kept = kept
                pause = max(self.due(kept) - self._clock(), _LEAST_SECONDS)
            # What was asked for while this fetch was under way was asked of the one before.
            self._early.clear()
            ended, self._ended = self._ended, asyncio.Event()
            ended.set()
            self.next_at = self._clock() + pause * random.uniform(1 - _SPREAD, 1)  # noqa: S311 - spreads load, no secret
            await self._sleep_until(self.next_at)

    def _told(self, fault: Exception) -> str:
        """A clause; another library's message is left out, since it could quote a secret."""
        if isinstance(fault, FetchFault):
            return str(fault)
        if isinstance(fault, TimeoutError):
            return f"no answer within {self._fetch_seconds:g} seconds"
        return f"asking for it failed with {type(fault).__name__}"

    async def _sleep_until(self, moment: float) -> None:
        """Sleep, or until a fetch is asked for."""
        while (left := moment - self._clock()) > 0 and not self._early.is_set():
            await self._within(self._early, min(left, _LONGEST_SLEEP_SECONDS))

    async def _within(self, event: asyncio.Event, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await event.wait()
        return False


async def read_token_file(path: str, *, place: str) -> Secret:
    """The workload's token, which lies in a file that its platform replaces. ``place`` is the setting.

    Raises:
        FetchFault: the file cannot be read, or holds no token.
    """
    return await asyncio.to_thread(_read, path, place)


def _read(path: str, place: str) -> Secret:
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii").strip()
    except OSError as error:
        raise FetchFault(f"the workload's token cannot be read, check {place} ({error.strerror})") from None
    except UnicodeDecodeError:
        text = ""
    if not is_key(text):
        raise FetchFault(f"the file holds no token, check {place}")
    return Secret(text)
