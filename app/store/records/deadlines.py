"""When calls are to be hung up: deadlines that every replica sees, and that one at a time takes.

A deadline is an entry of a sorted set, by time. A replica that takes an entry holds it for a moment, by
moving its time, and holds it again while it works. So the entry of a replica that died is due again soon.
What a replica must look at does not grow with the number of calls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from app.errors import StoreUnavailable
from app.models import LONGEST_CALL_SECONDS
from app.store import keys
from app.store.connection import StoreConnection
from app.store.scripts import DUE, TAKE, ScriptCall

# ``undelivered``: its answer reached no browser. ``lost``: the provider's answer came after the browser had
# been told that the outcome is not known. ``operator``: an operator wants it to end. ``max_call_seconds``: it
# has lasted as long as it may.
Reason = Literal["undelivered", "lost", "operator", "max_call_seconds"]
REASONS: Final[tuple[Reason, ...]] = ("undelivered", "lost", "operator", "max_call_seconds")

_MARGIN_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Due:
    """A deadline that came. ``late`` is how long ago by the store's clock, in seconds, when it was taken."""

    reason: Reason
    call_id: str
    late: float = 0.0

    @property
    def entry(self) -> str:
        return f"{self.reason}:{self.call_id}"


class CallDeadlines:
    """The deadlines in Redis. Every method raises ``StoreUnavailable`` when the store does not answer."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def add(self, reason: Reason, call_id: str, *, seconds: float) -> None:
        """Have the call hung up in so many seconds. A deadline of the same reason that is there stays."""
        await self.add_all(reason, [call_id], seconds=seconds)

    async def add_all(self, reason: Reason, call_ids: Sequence[str], *, seconds: float) -> None:
        """Do the same for many calls, in one round trip."""
        await self._set("NX", [Due(reason, call_id) for call_id in call_ids], seconds)

    async def take(self, *, hold: float, at_most: int) -> list[Due]:
        """Take deadlines that came. No other replica takes them for ``hold`` seconds.

        In a Cluster, a node that does not answer costs its share of the deadlines only.
        """
        names = random.sample(keys.ALL_DEADLINES, len(keys.ALL_DEADLINES))
        groups = self._connection.by_slot(names)
        args = (int(hold * 1000), -(-at_most // len(groups)))
        replies = await asyncio.gather(
            *(self._connection.run_script(TAKE, group, *args) for group in groups), return_exceptions=True
        )
        failed = [reply for reply in replies if isinstance(reply, BaseException)]
        if len(failed) == len(replies) or any(not isinstance(one, StoreUnavailable) for one in failed):
            raise failed[0]
        return [due for reply in replies if not isinstance(reply, BaseException) for due in _read(reply)]

    async def hold(self, taken: Sequence[Due], *, seconds: float) -> None:
        """Hold deadlines for so many seconds from now. One that was removed meanwhile stays away."""
        await self._set("XX", taken, seconds)

    async def remove(self, due: Due) -> None:
        """The deadline is met, or no longer applies."""
        await self._connection.run_together(("ZREM", keys.deadlines(due.call_id), due.entry))

    async def _set(self, which: str, dues: Sequence[Due], seconds: float) -> None:
        calls = [
            setting(which, name, [due.entry for due in group], seconds)
            for name, group in groupby(sorted(dues, key=_slice), key=_slice)
        ]
        await self._connection.run_scripts(*calls)


def adding(due: Due, seconds: float) -> ScriptCall:
    """The script of ``CallDeadlines.add``, for the round trip of another write."""
    return setting("NX", _slice(due), [due.entry], seconds)


def setting(which: str, name: str, entries: Sequence[str], seconds: float) -> ScriptCall:
    """The script that moves entries of a sorted set to so many seconds from now; see ``due.lua``."""
    life = int((seconds + LONGEST_CALL_SECONDS + _MARGIN_SECONDS) * 1000)
    return DUE, (name,), (int(seconds * 1000), which, life, *entries)


def _slice(due: Due) -> str:
    return keys.deadlines(due.call_id)


def _read(reply: list[Any]) -> list[Due]:
    found = []
    for entry, late_ms in zip(reply[::2], reply[1::2], strict=True):
        reason, _, call_id = entry.partition(":")
        # A newer release may know further reasons. Its replicas take them.
        if reason in REASONS:
            found.append(Due(reason, call_id, late_ms / 1000))
    return found
