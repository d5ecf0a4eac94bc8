"""Call records: read one, and note that a call is over. ``handles.HandleStore.settle`` writes them."""

from __future__ import annotations

from typing import Final

from app.models import CallRecord
from app.store import keys
from app.store.connection import StoreConnection
from app.store.scripts import ENDED

_FIELDS: Final = (
    "handle",
    "deployment",
    "model",
    "client",
    "subject",
    "relayed_at",
    "relayed_by",
    "ended_at",
    "ended_by",
)


class CallStore:
    """The calls in Redis. Every method raises ``StoreUnavailable`` when the store does not answer."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def get(self, call_id: str) -> CallRecord | None:
        """The record of this call; None when it was never relayed here, or when its retention is over."""
        (values,) = await self._connection.run_together(("HMGET", keys.call(call_id), *_FIELDS))
        found = dict(zip(_FIELDS, values, strict=True))
        # Written with every record; without it this is only what an operator's own HSET left.
        if found["handle"] is None or found["relayed_at"] is None:
            return None
        ended_at = found["ended_at"]
        return CallRecord(
            id=call_id,
            handle=found["handle"],
            deployment=found["deployment"] or "",
            model=found["model"] or "",
            client=found["client"] or "",
            subject=found["subject"] or "",
            relayed_at=int(found["relayed_at"]),
            relayed_by=found["relayed_by"] or "",
            ended_at=int(ended_at) if ended_at is not None else None,
            ended_by=found["ended_by"] or "",
        )

    async def mark_ended(self, call_id: str, *, ended_at: int, ended_by: str) -> None:
        """Note that the call is over; its record keeps its expiry, and one that is gone stays gone.

        Safe to repeat: the first note stays. ``ended_at`` is epoch seconds, ``ended_by`` a replica's name.
        """
        await self._connection.run_script(ENDED, (keys.call(call_id),), ended_at, ended_by)
