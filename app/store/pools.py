"""The keys that are minted ahead: the stock of each model, what is minted for it just now, and its bill.

All of a model lies in one slot of a Cluster, and each step is one script and one round trip. Times are
durations, or those that the store itself told, so the clocks of the replicas do not matter.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from app.models import value
from app.store import keys
from app.store.connection import StoreConnection
from app.store.keys import number_of
from app.store.replication import Replication
from app.store.scripts import POOL_PUT, POOL_RELEASE, POOL_RESERVE, POOL_STATE, POOL_TAKE, ScriptCall

# Of one model. A shape that is wanted no more makes room for a new one.
MOST_SHAPES: Final = 64


@value
class PoolEntry:
    """A key in stock. ``ends_at`` is the end of its life, in milliseconds of the store's clock.

    ``sealed`` is opened by ``app.broker.pool.entries`` alone.
    """

    id: str
    deployment: str
    ends_at: int
    sealed: str


@value
class PoolLevel:
    """How one shape stands.

    ``stock`` and ``pending``, the keys that are there and those that are minted just now. ``minute`` and
    ``five`` are the takes of the last minute and of the last five. ``takes`` counts those that came no
    further apart than a key serves; 0 where the shape is not watched, as there are too many. ``idle`` is how
    long the last take is ago, ``serves`` how long a key can be handed out, in seconds.
    """

    shape: str
    stock: int
    pending: int
    minute: int
    five: int
    takes: int
    idle: float
    serves: float


@value
class PoolBill:
    """What became of a model's keys, since the bill was begun and within the last hour.

    ``minted`` went into stock, ``used`` were handed out, ``wasted`` became too old. ``lost`` are those of
    replicas that died or failed in between, and those that were of no use when they were taken.
    """

    minted: int = 0
    used: int = 0
    wasted: int = 0
    lost: int = 0
    hour_minted: int = 0
    hour_wasted: int = 0


@value
class Swept:
    """What a step found to be over, and counted: keys that became too old, and keys that never came."""

    wasted: int = 0
    lost: int = 0


@value
class PoolTake:
    """What a take found. ``entry`` is None where nothing was there; ``now`` is the store's, milliseconds."""

    entry: PoolEntry | None
    now: int
    level: PoolLevel
    bill: PoolBill
    swept: Swept


@value
class PoolMarks:
    """Leave to mint so many keys: one for each of ``ids``. ``now`` is the store's time, milliseconds."""

    ids: Sequence[str]
    now: int
    swept: Swept


@value
class PoolState:
    """A model's pool: its shapes, the one that was wanted last first, and its bill."""

    shapes: tuple[PoolLevel, ...]
    bill: PoolBill
    swept: Swept = Swept()


@value
class PoolWish:
    """What a replica asks leave for: keys of this shape up to ``goal``, ``most`` at once.

    ``bound`` is how many of all shapes there may be, minted and pending. A key that does not come within
    ``hold`` seconds counts as lost.
    """

    shape: str
    goal: int
    most: int
    bound: int
    hold: float


class PoolStore:
    """The pools in Redis. Every method raises ``StoreUnavailable`` when the store does not answer.

    Args:
        replication: as for ``HandleStore``: a take waits for it, so that a failover hands no key out twice.
    """

    def __init__(self, connection: StoreConnection, *, replication: Replication | None = None) -> None:
        self._connection = connection
        self._replication = replication

    async def take(self, model: str, shape: str, *, serves: float) -> PoolTake:
        """Count one take, and take the oldest key that is good. No one else gets it, whatever happens then.

        ``serves`` is how long a key of a new shape is good, in seconds, until one is there.
        """
        taking: ScriptCall = (POOL_TAKE, keys.pool(model), (shape, int(serves * 1000), MOST_SHAPES))
        reply = await (
            self._connection.run_script(taking[0], taking[1], *taking[2])
            if self._replication is None
            else self._replication.run(taking)
        )
        member, kept, now, level, bill, swept = reply
        entry = None
        if member:
            ends_at, sealed, deployment = kept.split(" ", 2)
            entry = PoolEntry(member.rpartition("|")[2], deployment, number_of(ends_at), sealed)
        return PoolTake(entry, int(now), _level(shape, level), PoolBill(*bill), Swept(*swept))

    async def reserve(self, model: str, wish: PoolWish) -> PoolMarks:
        """Ask how many keys to mint now, and mark them as pending, so that others do not mint them too."""
        nonce = secrets.token_urlsafe(9)
        args = (wish.shape, nonce, wish.goal, wish.bound, wish.most, int(wish.hold * 1000))
        ids, now, swept = await self._connection.run_script(POOL_RESERVE, keys.pool(model), *args)
        return PoolMarks(tuple(ids), int(now), Swept(*swept))

    async def put(self, model: str, shape: str, entry: PoolEntry, *, good_until: int) -> bool:
        """Turn a mark into a key in stock. Returns False where its time was over, or this was done before.

        ``entry.id`` is the mark's; ``good_until`` is until when it may be handed out, as ``entry.ends_at``.
        May be repeated.
        """
        args = (shape, entry.id, good_until, entry.ends_at, entry.sealed, entry.deployment)
        return bool(await self._connection.run_script(POOL_PUT, keys.pool(model), *args))

    async def release(
        self, model: str, shape: str, ids: Sequence[str], *, lost: bool = False, unused: int = 0
    ) -> int:
        """Take marks back. Returns how many keys count as lost by this.

        ``lost``: the provider may have minted their keys. ``unused`` is how many keys were taken and reached
        no caller: they count as lost, not as used.
        """
        marks = [f"{shape}|{mark}" for mark in ids]
        return int(
            await self._connection.run_script(POOL_RELEASE, keys.pool(model), int(lost), unused, *marks)
        )

    async def state(self, model: str) -> PoolState:
        """How the pool stands, once what is too old is thrown away."""
        bill, swept, *levels = await self._connection.run_script(POOL_STATE, keys.pool(model))
        shapes = [_level(shape, level) for shape, level in zip(levels[::2], levels[1::2], strict=True)]
        shapes.sort(key=lambda level: level.idle)
        return PoolState(tuple(shapes), PoolBill(*bill), Swept(*swept))


def _level(shape: str, reply: Sequence[int]) -> PoolLevel:
    stock, pending, minute, five, takes, idle, serves = reply
    return PoolLevel(shape, stock, pending, minute, five, takes, idle / 1000, serves / 1000)
