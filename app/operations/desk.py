"""Where operators are served: who they are, and what of the store they see and change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.clients import ClientRegistry
from app.models import CallRecord
from app.store.calls import CallStore
from app.store.census import alive
from app.store.directory import HandleDirectory
from app.store.events import EventFeed
from app.store.views import Alive, HandleView


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that the operators' requests need.

    ``admins`` are the operators by their keys, None where there is none. ``clock`` returns epoch seconds.
    """

    handles: HandleDirectory
    calls: CallStore
    feed: EventFeed
    clock: Callable[[], float]
    replica: str
    admins: ClientRegistry | None = field(repr=False)

    async def story(self, handle_id: str) -> tuple[HandleView, dict[str, CallRecord]] | None:
        """A handle, and those of its calls that are on record; None when it expired, or never was.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        view = await self.handles.get(handle_id)
        if view is None:
            return None
        return view, await self.calls.get_many([note.call_id for note in view.relays if note.call_id])

    async def alive(self) -> Alive:
        """How many handles and calls there are.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return await alive(self.handles, self.calls, now=self.clock())
