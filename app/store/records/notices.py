"""The queue of the webhook for security events: all replicas see its messages, one at a time takes each.

A message that is taken is held: no other replica takes it before the hold is over. So the messages of a
replica that died are taken again, and a message may come twice. The queue lies in one slot of a Cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.deadlines import setting
from app.store.scripts import QUEUE, TAKE

# The longest that a message may wait. The queue goes with its last message.
KEPT_SECONDS: Final = 86_400


class Notices:
    """The messages in Redis. Every method raises ``StoreUnavailable`` when the store does not answer.

    Args:
        most: how many may wait.
    """

    def __init__(self, connection: StoreConnection, *, most: int) -> None:
        self._connection = connection
        self._most = most

    async def put(self, messages: Sequence[str]) -> int:
        """Add messages, and return how many had no room. Safe to repeat."""
        args: tuple[str | int, ...] = (self._most, 2 * KEPT_SECONDS * 1000, *messages)
        return int(await self._connection.run_script(QUEUE, (keys.notices(),), *args))

    async def take(self, *, hold: float, at_most: int) -> list[str]:
        """Take messages that are due. No other replica takes them for ``hold`` seconds."""
        found = await self._connection.run_script(TAKE, (keys.notices(),), int(hold * 1000), at_most)
        return [str(message) for message in found[::2]]

    async def postpone(self, message: str, *, seconds: float) -> None:
        """Let replicas take a message in so many seconds; one that was removed meanwhile stays away."""
        await self._connection.run_scripts(setting("XX", keys.notices(), [message], seconds))

    async def remove(self, message: str) -> None:
        """The message was delivered, or never will be."""
        await self._connection.run_together(("ZREM", keys.notices(), message))
