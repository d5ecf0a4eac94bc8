"""What a replica counts of its pools, for its metrics."""

from __future__ import annotations

from typing import Literal, Protocol

from app.store.pools import Swept
from app.telemetry.timings import TakeResult, Timings

# What became of a key, as ``app.store.pools.PoolBill`` has it.
KeyOutcome = Literal["minted", "used", "wasted", "lost"]


class PoolCounts(Protocol):
    """Takes the counts of this replica. One replica counts each event, so all together are the bill."""

    def took(self, model: str, result: TakeResult) -> None:
        """A mint of a model with a pool was served so."""

    def keys(self, model: str, outcome: KeyOutcome, number: int = 1) -> None:
        """So many keys of the model came to this, maybe none."""

    def swept(self, model: str, swept: Swept) -> None:
        """So many keys were found to be over."""
        self.keys(model, "wasted", swept.wasted)
        self.keys(model, "lost", swept.lost)

    def tried(self, timings: Timings) -> None:
        """The pool asked a provider."""
