"""The live events of all replicas, for operators who watch: Redis pub/sub, and nothing while nobody watches.

A watcher keeps one key alive. Each replica looks for that key with its regular probe, and publishes what it
did only while the key exists. Events of a tenth of a second go out together, and no request waits for them.
An event that cannot be sent is dropped, and the watchers learn how many were.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson
import structlog

from app.errors import StoreUnavailable
from app.store import keys
from app.store.connection import StoreConnection
from app.store.faults import DRIVER_ERRORS, RETRY_AFTER_SECONDS, StoreFault, fault_of

if TYPE_CHECKING:
    from app.store.redis_py import Subscription

log = structlog.get_logger("cloakroom.events")

# The fields of a request's log line that an event has. A new field of the log line does not appear here.
FIELDS: Final = (
    "request_id",
    "trace_id",
    "status",
    "code",
    "model",
    "deployment",
    "family",
    "client",
    "handle",
    "call_id",
    "outcome",
    "by",
    "revoked",
    "noted",
    "total_ms",
    "provider_ms",
    "store_ms",
)
BATCH_SECONDS: Final = 0.1
# Events of one replica in a tenth of a second: more than it can serve in that time.
QUEUE: Final = 1000
# The watch key survives one or two failed renewals, and ends soon after its watcher.
WATCH_LIFE_MS: Final = 6_000
RENEW_SECONDS: Final = 2.0
# A subscription that is not confirmed by then counts as refused.
SUBSCRIBE_SECONDS: Final = 2.0
# Between two tries to get a lost subscription back.
AGAIN_SECONDS: Final = 0.5
# How many events wait for a watcher that reads slowly.
BACKLOG: Final = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """``mint``, ``exchange``, ``relay``, ``report``, ``hangup``, ``revoke``; or ``dropped``: some are lost.

    All but the last have the fields ``FIELDS``, ``replica`` and ``at`` (epoch seconds). ``dropped`` has
    ``count``, which is None where the subscription was lost for a while and the number is not known.
    """

    name: str
    fields: Mapping[str, Any]


class Watch:
    """Sees the events of all replicas from ``async with`` on. A replica may join up to two seconds later.

    Args:
        among: the watches of this process. This one is in the set while it lasts.
    """

    def __init__(self, connection: StoreConnection, among: set[Watch]) -> None:
        self._connection = connection
        self._among = among
        self._events: deque[Event] = deque(maxlen=BACKLOG)
        self._missed = 0
        self._news = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._subscription: Subscription | None = None
        self.ended = False

    async def __aenter__(self) -> Self:
        """Subscribe.

        Raises:
            StoreUnavailable: the store does not answer, or forbids the subscription.
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
        # A task holds what it ended with, whose traceback holds this watch.
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._unsubscribe()

    async def next(self, *, seconds: float) -> list[Event]:
        """Return the events since the last call. Where there are none, wait ``seconds`` for the first."""
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
        """Set ``ended``, and have ``next`` return at once from now on."""
        self.ended = True
        self._news.set()

    async def _renew(self) -> None:
        while not self.ended:
            # This replica knows at once, without its probe.
            self._connection.watched = True
            await self._connection.tell(("SET", keys.watch(), "1", "PX", WATCH_LIFE_MS))
            await asyncio.sleep(RENEW_SECONDS)

    async def _read(self) -> None:
        while not self.ended:
            try:
                subscription = self._subscription
                if subscription is None:
                    subscription = await self._subscribe()
                    self._put(Event("dropped", {"count": None, "replica": None, "at": None}))
                await self._read_messages(subscription)
            except DRIVER_ERRORS as error:
                log.warning("watch_interrupted", error=fault_of(error).text)
                await self._unsubscribe()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read_messages(self, subscription: Subscription) -> None:
        while not self.ended:
            message = await subscription.next(timeout=None)
            if message is None:
                continue
            if message["type"] == "subscribe":
                # The driver found the connection broken and subscribed again by itself.
                self._put(Event("dropped", {"count": None, "replica": None, "at": None}))
            elif message["type"] == "message":
                for name, fields in orjson.loads(message["data"]):
                    self._put(Event(name, fields))

    def _put(self, event: Event) -> None:
        if len(self._events) == BACKLOG:
            self._missed += 1
        self._events.append(event)
        self._news.set()

    async def _subscribe(self) -> Subscription:
        # Before the deadline begins.
        await self._connection.load_driver()
        async with asyncio.timeout(SUBSCRIBE_SECONDS):
            made = self._subscription = await self._connection.subscription()
            await made.subscribe(keys.events())
            # A server that forbids it says so only in its reply.
            while await made.next(timeout=SUBSCRIBE_SECONDS) is None:
                pass
        return made

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*DRIVER_ERRORS):
                await subscription.aclose()


def _unavailable(fault: StoreFault) -> StoreUnavailable:
    return StoreUnavailable(
        f"The store lets nobody watch just now: {fault.text}.", retry_after=RETRY_AFTER_SECONDS
    )


class EventFeed:
    """Sends the events of this replica, and gives its watchers those of all replicas.

    Args:
        replica: this replica's name, in each of its events.
        clock: returns epoch seconds.
    """

    def __init__(
        self, connection: StoreConnection, *, replica: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._connection = connection
        self._replica = replica
        self._clock = clock
        self._queue: deque[tuple[str, dict[str, Any]]] = deque(maxlen=QUEUE)
        self._dropped = 0
        self._sender: asyncio.Task[None] | None = None
        self._watches: set[Watch] = set()

    @property
    def wanted(self) -> bool:
        """Whether there is a watcher, as of the last probe of the store: at most two seconds ago."""
        return self._connection.watched

    @property
    def watchers(self) -> int:
        """How many watch through this replica."""
        return len(self._watches)

    def offer(self, name: str, fields: Mapping[str, Any]) -> None:
        """Send an event soon. Never waits and never fails. Of ``fields``, only ``FIELDS`` are sent."""
        if len(self._queue) == QUEUE:
            self._dropped += 1
        told = {field: fields.get(field) for field in FIELDS}
        self._queue.append((name, {**told, "replica": self._replica, "at": round(self._clock(), 3)}))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="event-sender")

    def watch(self) -> Watch:
        """Return an asynchronous context manager that sees the events of all replicas.

        Entering it raises ``StoreUnavailable`` when the store does not answer or forbids the subscription.
        """
        return Watch(self._connection, self._watches)

    def end_watches(self) -> None:
        """End every watch of this process."""
        for watch in self._watches:
            watch.end()

    async def close(self) -> None:
        """End the watches, and send the events that are left."""
        self.end_watches()
        if self._sender is not None:
            await self._sender

    async def _send(self) -> None:
        while self._queue:
            await asyncio.sleep(BATCH_SECONDS)
            events = [*self._queue]
            if self._dropped:
                events.append(
                    ("dropped", {"count": self._dropped, "replica": self._replica, "at": self._clock()})
                )
            self._queue.clear()
            self._dropped = 0
            if not await self._connection.tell(("PUBLISH", keys.events(), orjson.dumps(events).decode())):
                # The next message that gets through says how many are missing.
                self._dropped += len(events)
