"""How many handles and calls are alive, from the lengths of the index lists: cheap at any size."""

from __future__ import annotations

from app.store.calls import CallStore
from app.store.directory import HandleDirectory
from app.store.views import Alive, HandleFilter


async def alive(handles: HandleDirectory, calls: CallStore, *, now: float) -> Alive:
    """Count. ``now`` is epoch seconds.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    return Alive(
        handles=await handles.count(HandleFilter(), now=now),
        calls=await calls.count_open(now=now),
    )
