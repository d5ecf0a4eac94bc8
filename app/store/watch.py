"""One watcher of the live events: a subscription of its own, made anew when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
import structlog

from app.errors import StoreUnavailable
from app.store import keys
from app.store.connection import RETRY_AFTER_SECONDS, StoreConnection
from app.store.faults import DRIVER_ERRORS, StoreFault, fault_of

log = structlog.get_logger("cloakroom.events")

# The watch key outlives a renewal or two that fail, and ends soon after its watcher.
WATCH_LIFE_MS: Final = 6_000
RENEW_SECONDS: Final = 2.0
# Until a subscription that is not confirmed counts as refused, and between tries to get a lost one back.
SUBSCRIBE_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 0.5
# What waits for a watcher that reads slowly.
BACKLOG: Final = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """``mint``, ``relay``, ``hangup``, ``revoke``, or ``dropped``: so many events are missing here.

    ``fields`` of the first four are ``events.FIELDS``, ``replica`` and ``at`` (epoch seconds); of ``dropped``
    ``count``, None where the subscription was lost for a while and nobody knows.
    """

    name: str
    fields: Mapping[str, Any]


class Watch:
    """Sees the events of all replicas from ``async with`` on: at first, within two seconds, of more and more.

    Args:
        among: the watches of this process; this one is among them while it lasts.
    """

    def __init__(self, connection: StoreConnection, among: set[Watch]) -> None:
        self._connection = connection
        self._among = among
        self._events: deque[Event] = deque(maxlen=BACKLOG)
        self._missed = 0
        self._news = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._subscription: Any = None
        self.ended = False

    async def __aenter__(self) -> Self:
        """Subscribe.

        Raises:
            StoreUnavailable: the store does not answer, or forbids to subscribe.
        """
        self._among.add(self)
        try:
            await self._subscribe()
        except DRIVER_ERRORS as error:
            self._among.discard(self)
            await self._unsubscribe()
            raise _unavailable(fault_of(error)) from error
        except BaseException:
            self._among.discard(self)
            await self._unsubscribe()
            raise
        self._tasks = (
            asyncio.create_task(self._renew(), name="watch-renewal"),
            asyncio.create_task(self._read(), name="watch-reader"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        self._among.discard(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._unsubscribe()

    async def next(self, *, seconds: float) -> list[Event]:
        """The events since the last call, waiting for them for so long; none is an empty list."""
        if not self._events and not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        self._news.clear()
        events = [*self._events]
        self._events.clear()
        if self._missed:
            events.insert(0, Event("dropped", {"count": self._missed, "replica": None, "at": None}))
            self._missed = 0
        return events

    def end(self) -> None:
        """Have ``next`` return at once from now on, and ``ended`` tell it."""
        self.ended = True
        self._news.set()

    async def _renew(self) -> None:
        while not self.ended:
            # This replica need not wait for its own probe.
            self._connection.watched = True
            await self._connection.tell(("SET", keys.watch(), "1", "PX", WATCH_LIFE_MS))
            await asyncio.sleep(RENEW_SECONDS)

    async def _read(self) -> None:
        while not self.ended:
            try:
                if self._subscription is None:
                    await self._subscribe()
                    self._put(Event("dropped", {"count": None, "replica": None, "at": None}))
                await self._read_messages(self._subscription)
            except DRIVER_ERRORS as error:
                log.warning("watch_interrupted", error=fault_of(error).text)
                await self._unsubscribe()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read_messages(self, subscription: Any) -> None:
        while not self.ended:
            message = await subscription.get_message(timeout=None)
            if message is None:
                continue
            if message["type"] == "subscribe":
                # The driver found the connection broken, and subscribed anew by itself.
                self._put(Event("dropped", {"count": None, "replica": None, "at": None}))
            elif message["type"] == "message":
                for name, fields in orjson.loads(message["data"]):
                    self._put(Event(name, fields))

    def _put(self, event: Event) -> None:
        if len(self._events) == BACKLOG:
            self._missed += 1
        self._events.append(event)
        self._news.set()

    async def _subscribe(self) -> None:
        self._subscription = self._connection.subscription()
        async with asyncio.timeout(SUBSCRIBE_SECONDS):
            await self._subscription.subscribe(keys.events())
            # A server that forbids it says so only here.
            while await self._subscription.get_message(timeout=SUBSCRIBE_SECONDS) is None:
                pass

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*DRIVER_ERRORS):
                await subscription.aclose()


def _unavailable(fault: StoreFault) -> StoreUnavailable:
    return StoreUnavailable(
        f"The store lets nobody watch just now: {fault.text}.", retry_after=RETRY_AFTER_SECONDS
    )
