"""How many handles a client and its subjects may mint in a minute, and a client may have at once.

Counted over all replicas, in one round trip.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class MintLimits:
    """Counts mints before the provider is asked. ``deadline`` is the provider's, in seconds."""

    store: HandleStore
    deadline: float
    clocks: Clocks

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
        exceeded = _exceeded(client, admitted)
        if exceeded is not None:
            await self.forget(client, live)
            raise RateLimited(exceeded, retry_after=60 - int(now) % 60)
        if admitted.wait is not None:
            raise TooManyHandles(
                f"Client '{client.name}' may have {client.max_live_handles} handles at once. Revoke some, or "
                "try again once one has expired.",
                retry_after=max(math.ceil(admitted.wait), 1),
            )

    async def forget(self, client: Client, live: Live | None) -> None:
        """The handle was not minted. Should the store not take that, it counts until its hold is over."""
        if live is not None:
            with contextlib.suppress(StoreUnavailable):
                await self.store.forget(client.name, live.handle_id)


def _exceeded(client: Client, admitted: Admitted) -> str | None:
    """Which limit of mints a minute this one exceeds, in a sentence; None where it exceeds none."""
    of_subject = client.mints_per_minute_per_subject
    if of_subject is not None and admitted.subject_count > of_subject:
        return f"A user of client '{client.name}' may mint {of_subject} handles a minute."
    of_client = client.mints_per_minute
    if of_client is not None and admitted.count > of_client:
        return f"Client '{client.name}' may mint {of_client} handles a minute."
    return None
