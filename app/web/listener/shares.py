"""Fair shares of the requests in flight: no client takes all places from the others.

While there is room everybody is served, so that one client may have every place. Once the replica is full, or
sheds load, a client with less than its share is served before one with more. The share of a client is the
number of places, divided by the number of clients that have some. Requests that are no mints are one party
together: whose they are is not known before the store is asked.

A client that is served although the replica is full takes a place beyond the limit, since nothing that was
begun is cancelled. Shares are parts of the limit, so there are never twice as many as it allows.
"""

from __future__ import annotations

from typing import Protocol

from app.telemetry.parts.protection import ProtectionMetrics


class Load(Protocol):
    """``in_flight``: the requests that are being served, of all kinds."""

    in_flight: int


class Shares:
    """Counts the mints in flight of each client, beside all requests in flight.

    Args:
        most: requests in flight; beyond so many, shares count.
    """

    def __init__(self, load: Load, most: int, metrics: ProtectionMetrics) -> None:
        self._load = load
        self.most = most
        self._metrics = metrics
        self._mints: dict[str, int] = {}
        self._minting = 0

    def take(self, client: str) -> None:
        """A mint of this client begins."""
        self._mints[client] = self._mints.get(client, 0) + 1
        self._minting += 1

    def give_back(self, client: str) -> None:
        """It ended."""
        self._minting -= 1
        left = self._mints[client] - 1
        if left:
            self._mints[client] = left
        else:
            del self._mints[client]

    def refuses_mint(self, client: str) -> bool:
        """Whether a mint that counts as in flight, and has not begun, would be one too many."""
        in_flight = self._load.in_flight
        if in_flight <= self.most:
            return False
        others = in_flight - self._minting - 1
        return not self._counted(self._within(client, others, self.most))

    def refuses_other(self) -> bool:
        """Whether a request that counts as in flight, and is no mint, is one too many."""
        in_flight = self._load.in_flight
        if in_flight <= self.most:
            return False
        others = in_flight - self._minting
        return not self._counted(others * (len(self._mints) + 1) <= self.most)

    def spares(self, client: str) -> bool:
        """Whether a mint is served although load is shed: its client has less than an equal share of mints.

        One client alone takes nothing from another, and is not spared.
        """
        mine = self._mints.get(client, 0)
        clients = len(self._mints) + (mine == 0)
        return clients > 1 and self._counted((mine + 1) * clients <= self._minting)

    def _within(self, client: str, others: int, places: int) -> bool:
        """Whether one more of this client is within its share of so many places."""
        mine = self._mints.get(client, 0)
        parties = len(self._mints) + (mine == 0) + (others > 0)
        return (mine + 1) * parties <= places

    def _counted(self, served: bool) -> bool:
        (self._metrics.share_served if served else self._metrics.share_refused).inc()
        return served
