"""Security events on the records of their handles, where an operator looks.

A record counts its ``suspicions``, and has the kind of the last one (``suspicion``) and its time
(``suspected_at``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.store import keys
from app.store.connection import StoreConnection
from app.store.scripts import SUSPECT, ScriptCall


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Events of one kind on one handle: how many, and when the last one was, in epoch seconds."""

    handle_id: str
    kind: str
    at: int
    times: int = 1

    @property
    def noting(self) -> ScriptCall:
        """The script that puts it on the record."""
        return SUSPECT, (keys.handle(self.handle_id),), (self.at, self.kind, self.times)


class Suspicions:
    """Notes security events in Redis."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def note(self, suspicions: Sequence[Suspicion]) -> None:
        """Put them on the records of their handles, in one round trip; what has expired is left out.

        Raises:
            StoreUnavailable: the store does not answer. A repeat may count an event twice.
        """
        await self._connection.run_beside(*(suspicion.noting for suspicion in suspicions))
