"""The worker processes of a replica that has several, as a view of one of them sees them."""

from __future__ import annotations

from typing import Any, Final, Protocol

from aiohttp import web

from app.telemetry.workers.merged import Merged


class Workers(Protocol):
    """All workers of this replica. ``app.supervisor`` makes it."""

    @property
    def missing(self) -> int:
        """How many do not serve just now."""
        ...

    async def metrics(self) -> Merged:
        """The metrics of all workers.

        Raises:
            Draining: the supervisor does not answer.
        """
        ...

    async def states(self) -> list[dict[str, Any]]:
        """Each worker's number, process, restarts, and what it has to do.

        Raises:
            Draining: the supervisor does not answer.
        """
        ...


# A replica that is one process does not have it.
WORKERS: Final[web.AppKey[Workers]] = web.AppKey("workers", Workers)
