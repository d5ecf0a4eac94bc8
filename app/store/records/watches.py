"""Which calls are metered, who watches them, and the records of their usage.

A metered call is an entry of a sorted set, as a deadline is (``app.store.records.deadlines``): due at once,
so that a replica takes it, and held by that replica while it watches. What the call has used so far lies
beside it, so that another replica can go on.

All of it lies in the slot of the stream. So one script writes a record and ends the watch, and there is one
stream to read. The price, in a Cluster: one node has the load of all metered calls. It is small: for each
second and call an entry that moves, and at most one change of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.models import LONGEST_CALL_SECONDS
from app.store import keys
from app.store.connection import StoreConnection
from app.store.records.deadlines import setting
from app.store.records.record import USAGE_FIGURES
from app.store.scripts import SUMS, TAKE, USAGE, WATCH, ScriptCall

_MARGIN_SECONDS: Final = 600
# A settlement, which may make the entry of a call once more, is repeated for a minute.
_REMEMBERED_SECONDS: Final = 600


@dataclass(slots=True, kw_only=True)
class Sums:
    """What a call has used so far.

    ``figures`` are by ``app.models.USAGE_FIGURES``. ``gaps`` is how often it had no watcher, and
    ``gap_seconds`` for how long altogether.
    """

    figures: dict[str, float] = field(default_factory=dict)
    model: str = ""
    gaps: int = 0
    gap_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A watch that this process has now. ``turn`` is its number among the call's watchers, from 1 on.

    ``unwatched`` is for how long the call has had no watcher, in seconds; the most that it can be where a
    watcher died.
    """

    call_id: str
    turn: int
    sums: Sums
    unwatched: float


class Watches:
    """The watches in Redis. Every method raises ``StoreUnavailable`` when the store does not answer.

    Args:
        hold: seconds for which a watch is held.
        records: how many records the stream keeps, about.
    """

    def __init__(self, connection: StoreConnection, *, hold: float, records: int) -> None:
        self._connection = connection
        self._hold = hold
        self._records = records

    async def take(self, *, at_most: int) -> list[Taken]:
        """Take calls that no one watches. No other replica takes them before the hold is over."""
        found = await self._connection.run_script(TAKE, (keys.watches(),), int(self._hold * 1000), at_most)
        late = {call_id: ms / 1000 for call_id, ms in zip(found[::2], found[1::2], strict=True)}
        life = (LONGEST_CALL_SECONDS + _MARGIN_SECONDS) * 1000
        replies = await self._connection.run_scripts(
            *((WATCH, (keys.sums(call_id), keys.watches()), (call_id, life)) for call_id in late)
        )
        return [
            self._taken(call_id, reply, late[call_id])
            for call_id, reply in zip(late, replies, strict=True)
            if reply
        ]

    async def keep(self, held: Sequence[str], changed: Mapping[str, tuple[int, Sums]]) -> set[str]:
        """Hold these calls on, and keep sums by call and turn, in one round trip.

        Returns the calls that another replica watches now.
        """
        return await self._keep(held, changed, seconds=self._hold)

    async def release(self, held: Mapping[str, tuple[int, Sums]]) -> None:
        """Keep these sums, and let other replicas take the calls at once."""
        await self._keep(list(held), held, seconds=0, released=1)

    async def write(self, call_id: str, turn: int, record: Mapping[str, str | float]) -> bool:
        """Write the call's one record, and end its watch. Safe to repeat.

        Returns whether this wrote it: False where it is there, or where another replica watches the call.
        """
        fields = [part for name, value in record.items() for part in (name, _text(value))]
        names = (keys.sums(call_id), keys.watches(), keys.USAGE)
        return bool(
            await self._connection.run_script(
                USAGE, names, turn, call_id, self._records, _REMEMBERED_SECONDS * 1000, *fields
            )
        )

    async def _keep(
        self, held: Sequence[str], changed: Mapping[str, tuple[int, Sums]], *, seconds: float, **more: int
    ) -> set[str]:
        saving = [_saving(call_id, turn, sums, more) for call_id, (turn, sums) in changed.items()]
        holding = [setting("XX", keys.watches(), held, seconds)] if held else []
        # The sums first: a call that may be taken has them.
        replies = await self._connection.run_scripts(*saving, *holding)
        return {call_id for call_id, reply in zip(changed, replies, strict=False) if not reply}

    def _taken(self, call_id: str, reply: Sequence[Any], late: float) -> Taken:
        kept = dict(zip(reply[::2], reply[1::2], strict=True))
        turn = int(kept["turn"])
        sums = Sums(
            figures={name: float(kept[name]) for name in USAGE_FIGURES if name in kept},
            model=kept.get("model", ""),
            gaps=int(kept.get("gaps", 0)),
            gap_seconds=float(kept.get("gap_seconds", 0)),
        )
        # One that died had renewed its hold at some time before it ran out.
        died = turn > 1 and "released" not in kept
        return Taken(call_id, turn, sums, late + (self._hold if died else 0.0))


def watching(call_id: str) -> ScriptCall:
    """The script that has a call metered, for the round trip of another write."""
    return setting("NX", keys.watches(), [call_id], 0)


def _saving(call_id: str, turn: int, sums: Sums, more: Mapping[str, int]) -> ScriptCall:
    fields: dict[str, str | float] = {"gaps": sums.gaps, **sums.figures, **more}
    if sums.model:
        fields["model"] = sums.model
    if sums.gaps:
        fields["gap_seconds"] = sums.gap_seconds
    args = [part for name, value in fields.items() for part in (name, _text(value))]
    return SUMS, (keys.sums(call_id),), (turn, *args)


def _text(value: str | float) -> str:
    """A value of a record: numbers without an empty fraction, and no more than thousandths."""
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
