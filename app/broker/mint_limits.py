"""How many handles a client and its subjects may mint in a minute, and a client may have at once.

Counted over all replicas, in one round trip. A limit that is used up stays so until the minute ends: until
then the store is not asked, so that a flood of refused mints costs it nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.errors import RateLimited, StoreUnavailable, TooManyHandles
from app.models import Client, Clocks
from app.store.records.handles import HandleStore
from app.store.records.minting import Admitted, Live, Minting
from app.store.records.seats import subject_digest
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.mint")

# How much longer than the provider's answer a mint may take.
_SAVE_SECONDS: Final = 10.0
# Of one minute. Callers name their subjects, so there may be any number.
_MOST_USED_UP: Final = 10_000


class UsedUp:
    """What limits are used up in this minute, by client, subject and limit."""

    def __init__(self) -> None:
        self._minute = 0
        self._limits: set[tuple[str, str, int | None]] = set()

    def add(self, minute: int, client: str, subject: str, limit: int | None) -> None:
        if minute != self._minute or len(self._limits) >= _MOST_USED_UP:
            self._minute, self._limits = minute, set()
        self._limits.add((client, subject, limit))

    def has(self, minute: int, client: str, subject: str, limit: int | None) -> bool:
        return minute == self._minute and (client, subject, limit) in self._limits


@dataclass(frozen=True, slots=True)
class MintLimits:
    """Counts mints before the provider is asked. ``deadline`` is the provider's, in seconds."""

    store: HandleStore
    deadline: float
    clocks: Clocks
    used_up: UsedUp = field(default_factory=UsedUp)

    def live(self, client: Client, make: Callable[[], str]) -> Live | None:
        """A handle of the client that is to be counted, with an id of ``make``; None without a limit."""
        if client.max_live_handles is None:
            return None
        handle_id = self.store.place(make)
        return Live(handle_id, self.deadline + _SAVE_SECONDS, client.max_live_handles)

    async def admit(self, client: Client, subject: str | None, live: Live | None, timings: Timings) -> None:
        """Count a mint, and its handle. ``subject`` is whom the client mints for, None where it did not say.

        Raises:
            RateLimited, TooManyHandles: it would be one too many.
            StoreUnavailable: it could not be counted.
        """
        of_subject = client.mints_per_minute_per_subject if subject else None
        if client.mints_per_minute is None and of_subject is None and live is None:
            return
        minting = Minting(client.name, subject_digest(subject or ""), of_subject)
        started, now = self.clocks.monotonic(), self.clocks.now()
        self._require_left(client, minting, now)
        try:
            admitted = await self.store.admit(minting, live, now=now)
        except StoreUnavailable:
            if not self.store.elsewhere:
                raise
            # One node of a Cluster has the counts. The others can take the handle.
            log.warning("mint_not_counted", client=client.name)
            return
        finally:
            timings.store_took("limit", started, self.clocks.monotonic())
        if _note_used_up(self.used_up, client, minting, admitted, minute=int(now // 60)):
            await self.forget(client, live)
            self._require_left(client, minting, now)
        if admitted.wait is not None:
            raise TooManyHandles(
                f"Client '{client.name}' may have {client.max_live_handles} handles at once. Revoke some, or "
                "try again once one has expired.",
                retry_after=max(math.ceil(admitted.wait), 1),
            )

    def _require_left(self, client: Client, minting: Minting, now: float) -> None:
        """Raise ``RateLimited`` where a limit of this mint is known to be used up."""
        minute, wait = int(now // 60), 60 - int(now) % 60
        if minting.most is not None and self.used_up.has(minute, client.name, minting.subject, minting.most):
            raise RateLimited(
                f"A user of client '{client.name}' may mint {minting.most} handles a minute.",
                retry_after=wait,
            )
        of_client = client.mints_per_minute
        if of_client is not None and self.used_up.has(minute, client.name, "", of_client):
            raise RateLimited(
                f"Client '{client.name}' may mint {of_client} handles a minute.", retry_after=wait
            )

    async def forget(self, client: Client, live: Live | None) -> None:
        """The handle was not minted. Should the store not take that, it counts until its hold is over."""
        if live is not None:
            with contextlib.suppress(StoreUnavailable):
                await self.store.forget(client.name, live.handle_id)


def _note_used_up(
    used_up: UsedUp, client: Client, minting: Minting, admitted: Admitted, *, minute: int
) -> bool:
    """Note which limit this mint exceeds; return whether it exceeds one."""
    of_client = client.mints_per_minute
    if minting.most is not None and admitted.subject_count > minting.most:
        used_up.add(minute, client.name, minting.subject, minting.most)
    elif of_client is not None and admitted.count > of_client:
        used_up.add(minute, client.name, "", of_client)
    else:
        return False
    return True
