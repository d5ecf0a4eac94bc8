"""How the pools stand, for operators and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from app.broker.pool.counts import PoolCounts
from app.broker.pool.demand import bound_of, goal_of
from app.broker.session_policy import PoolPolicy
from app.models import value
from app.store.pools import PoolBill, PoolState, PoolStore

# ``idle``: nothing is kept, as there is no demand that a key would serve. ``turned_down``: the goal is less
# than the demand asks for, since too many keys were wasted; ``starting``: since few were minted in this hour.
# ``filling``: there are fewer keys than the goal.
PoolMood = Literal["idle", "turned_down", "starting", "filling", "ready"]


@value
class PoolStanding:
    """One model's pool. ``demand`` is the takes of the last minute; ``stock`` and ``pending`` are keys.

    ``shapes`` is how many different sessions were wanted lately.
    """

    model: str
    policy: PoolPolicy
    mood: PoolMood
    shapes: int
    stock: int
    pending: int
    goal: int
    demand: int
    bill: PoolBill

    @property
    def waste(self) -> float:
        """The share of the last hour's minted keys that was wasted, 0 to 1."""
        return min(self.bill.hour_wasted / self.bill.hour_minted, 1.0) if self.bill.hour_minted else 0.0


async def standings(
    store: PoolStore, policies: Mapping[str, PoolPolicy], counts: PoolCounts | None = None
) -> list[PoolStanding]:
    """Each model that has a pool, in the order of the settings.

    ``counts`` is told of keys that were thrown away meanwhile, since they became too old.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    states = await asyncio.gather(*(store.state(model) for model in policies))
    if counts is not None:
        for model, state in zip(policies, states, strict=True):
            counts.swept(model, state.swept)
    return [
        standing(model, policy, state)
        for (model, policy), state in zip(policies.items(), states, strict=True)
    ]


def standing(model: str, policy: PoolPolicy, state: PoolState) -> PoolStanding:
    """How this state looks under the policy. Pure."""
    wanted = min(sum(goal_of(level, target=policy.target) for level in state.shapes), policy.target)
    bound = bound_of(state.bill, policy)
    goal, stock = min(wanted, bound), sum(level.stock for level in state.shapes)
    return PoolStanding(
        model=model,
        policy=policy,
        mood=_mood(wanted, goal, stock, state.bill),
        shapes=len(state.shapes),
        stock=stock,
        pending=sum(level.pending for level in state.shapes),
        goal=goal,
        demand=sum(level.minute for level in state.shapes),
        bill=state.bill,
    )


def _mood(wanted: int, goal: int, stock: int, bill: PoolBill) -> PoolMood:
    if wanted == 0:
        return "idle"
    if goal < wanted:
        return "turned_down" if bill.hour_wasted else "starting"
    return "ready" if stock >= goal else "filling"
