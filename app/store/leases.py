"""Tells at one replica that the process of another one has died.

Each process renews a lease with its regular probe: a key whose value is a count, so that it changes. A watch
looks at the value again and again. It calls the lease ended when the value has not changed for a while, and
the store answered all that time. The key's expiry alone would not do: after a store hung for some seconds,
the leases of living processes would be over as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from app.errors import StoreUnavailable
from app.store import keys
from app.store.connection import StoreConnection

# Two renewals are missing by then, with 0.2 s to spare. Others know of a death within two seconds, and a
# living process may be held up for almost one.
SILENCE_SECONDS: Final = 1.7
LOOK_SECONDS: Final = 0.1
# After a longer pause between two replies, the store or this process may have stood still, and the other
# process has a whole silence again to renew its lease.
LONGEST_PAUSE_SECONDS: Final = 0.5


class LeaseWatch:
    """Watches the lease of one process.

    Args:
        holder: the ``StoreConnection.process`` of the process; "" where it is not known.
        monotonic: returns seconds.
    """

    def __init__(self, connection: StoreConnection, holder: str, *, monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._key = keys.lease(holder)
        self._watched = holder not in ("", connection.process)
        self._monotonic = monotonic
        self._value: str | None = None
        self._next_look = self._answered = self._quiet_since = -math.inf

    async def ended(self) -> bool:
        """Look at the lease, unless it was looked at just now, and return whether it has ended.

        An unknown process and this one never end. Never raises ``StoreUnavailable``.
        """
        asked = self._monotonic()
        if not self._watched or asked < self._next_look:
            return False
        self._next_look = asked + LOOK_SECONDS
        try:
            value = await self._connection.ask(("GET", self._key))
        except StoreUnavailable:
            self._answered = -math.inf
            return False
        paused, self._answered = self._answered, self._monotonic()
        if value != self._value or self._answered - paused > LONGEST_PAUSE_SECONDS:
            self._value, self._quiet_since = value, self._answered
        return asked - self._quiet_since >= SILENCE_SECONDS
