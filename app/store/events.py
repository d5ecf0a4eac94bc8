"""The live events of all replicas, for operators who watch: Redis pub/sub, and nothing while nobody watches.

Whoever watches keeps one key alive. Each replica looks for it with its regular probe, and publishes what it
did only while the key is there: gathered for a tenth of a second, outside of any request's own wait. Events
are for eyes: they are dropped rather than waited for, and a drop is told.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from app.store import keys
from app.store.connection import StoreConnection
from app.store.watch import Watch

# What an event tells: of a request's log line these fields, whatever else the line gets one day.
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
    "total_ms",
    "provider_ms",
    "store_ms",
)
BATCH_SECONDS: Final = 0.1
# Of one replica in one tenth of a second; more than it can serve in that time.
QUEUE: Final = 1000


class EventFeed:
    """Tells watchers what this replica does, and lets its own watchers see what all replicas do.

    Args:
        replica: stands in every event of this process.
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
        """Whether anybody watches, as of the last probe of the store: two seconds old at most."""
        return self._connection.watched

    @property
    def watchers(self) -> int:
        """Who watches through this replica."""
        return len(self._watches)

    def offer(self, name: str, fields: Mapping[str, Any]) -> None:
        """Tell the watchers, soon. Never waits and never fails; of ``fields`` only ``FIELDS`` are told."""
        if len(self._queue) == QUEUE:
            self._dropped += 1
        told = {field: fields.get(field) for field in FIELDS}
        self._queue.append((name, {**told, "replica": self._replica, "at": round(self._clock(), 3)}))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="event-sender")

    def watch(self) -> Watch:
        """See the events of all replicas, as an asynchronous context manager.

        Its beginning raises ``StoreUnavailable`` when the store does not answer, or forbids to subscribe.
        """
        return Watch(self._connection, self._watches)

    def end_watches(self) -> None:
        """Have every watch of this process end."""
        for watch in self._watches:
            watch.end()

    async def close(self) -> None:
        """Tell what is left, and end."""
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
                # The next message that gets through tells how many are missing.
                self._dropped += len(events)
