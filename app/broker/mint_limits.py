"""How many handles a client may mint in a minute, and have at once, over all replicas: one round trip."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Final

import structlog

from app.errors import RateLimited, StoreUnavailable, TooManyHandles
from app.handles.tokens import new_handle_id
from app.models import Client, Clocks
from app.store.records.handles import HandleStore, Live
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

    def live(self, client: Client) -> Live | None:
        """A handle of the client that is to be counted; None where their number is not limited."""
        if client.max_live_handles is None:
            return None
        handle_id = self.store.place(new_handle_id)
        return Live(handle_id, self.deadline + _SAVE_SECONDS, client.max_live_handles)

    async def admit(self, client: Client, live: Live | None, timings: Timings) -> None:
        """Count a mint, and its handle.

        Raises:
            RateLimited, TooManyHandles: it would be one too many.
            StoreUnavailable: it could not be counted.
        """
        if client.mints_per_minute is None and live is None:
            return
        started, now = self.clocks.monotonic(), self.clocks.now()
        try:
            admitted = await self.store.admit(client.name, live, now=now)
        except StoreUnavailable:
            if not self.store.elsewhere:
                raise
            # One node of a Cluster has the counts. The others can take the handle.
            log.warning("mint_not_counted", client=client.name)
            return
        finally:
            timings.store_took("limit", started, self.clocks.monotonic())
        if client.mints_per_minute is not None and admitted.count > client.mints_per_minute:
            await self.forget(client, live)
            raise RateLimited(
                f"Client '{client.name}' may mint {client.mints_per_minute} handles a minute.",
                retry_after=60 - int(now) % 60,
            )
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
