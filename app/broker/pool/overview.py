"""All pools as operators see them: what replicas tell each other of theirs, and how each pool stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from app.broker.pool.standing import PoolStanding, standings
from app.broker.routing.breaker import Breakers
from app.broker.routing.catalog import Catalog
from app.broker.session_policy import PoolPolicy
from app.models import value
from app.store.pools import PoolStore
from app.store.records.replicas import POOLS

Document = dict[str, Any]

# ``limited``: the provider asked us to wait; ``failing``: mints failed, and are tried again later.
PauseReason = Literal["limited", "failing"]


@value
class Pause:
    """A replica mints nothing ahead for so many seconds more."""

    reason: PauseReason
    seconds: float


def pauses(catalog: Catalog, breakers: Breakers, rests: Callable[[str], float]) -> dict[str, Pause]:
    """The models for which this replica mints nothing ahead just now, whatever the demand.

    Args:
        rests: as ``WarmPool.rests``.
    """
    found = ((model, _pause(catalog, breakers, model, rests(model))) for model in catalog.pools)
    return {model: pause for model, pause in found if pause is not None}


def _pause(catalog: Catalog, breakers: Breakers, model: str, rest: float) -> Pause | None:
    served = catalog.stages(model)[0].deployments
    unrest = [breakers.unrest(deployment.name) for deployment in served]
    troubled = [one for one in unrest if one is not None]
    if len(troubled) == len(served):
        first = min(troubled, key=lambda one: one.seconds)
        return Pause("limited" if first.asked else "failing", first.seconds)
    return Pause("failing", rest) if rest > 0 else None


def told(policies: Mapping[str, PoolPolicy], paused: Mapping[str, Pause]) -> Document:
    """What a replica tells the others of its pools, by model."""
    return {model: _told(policy, paused.get(model)) for model, policy in policies.items()}


def _told(policy: PoolPolicy, pause: Pause | None) -> Document:
    paused = {"reason": pause.reason, "seconds": round(pause.seconds, 1)} if pause is not None else None
    return {"target": policy.target, "max_waste": policy.max_waste, "paused": paused}


def policies_told(replicas: Iterable[Mapping[str, Any]]) -> dict[str, PoolPolicy]:
    """The pools that replicas have, by model; where they differ, the largest.

    Args:
        replicas: what each told. One of an older release tells none.
    """
    found: dict[str, PoolPolicy] = {}
    for _, model, pool in _pools(replicas):
        policy = PoolPolicy(int(pool["target"]), float(pool["max_waste"]))
        known = found.get(model, policy)
        found[model] = max(policy, known, key=lambda one: (one.target, one.max_waste))
    return dict(sorted(found.items()))


async def overview(store: PoolStore, replicas: Sequence[Mapping[str, Any]]) -> Document:
    """The answer of ``GET /admin/v1/pools``: the pools that replicas have, by model.

    Args:
        replicas: what each told, with its ``age`` in seconds.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    found = await standings(store, policies_told(replicas))
    return {"object": "pools", "data": [pool_document(one, replicas) for one in found]}


def pool_document(standing: PoolStanding, replicas: Sequence[Mapping[str, Any]]) -> Document:
    """One model's pool. ``state`` is ``paused`` where no replica mints for it just now."""
    having = [(each, pool) for each, model, pool in _pools(replicas) if model == standing.model]
    paused = [_paused(each, pool) for each, pool in having if _seconds_left(each, pool) > 0]
    bill = standing.bill
    return {
        "object": "pool",
        "model": standing.model,
        "state": "paused" if having and len(paused) == len(having) else standing.mood,
        "target": standing.policy.target,
        "max_waste": standing.policy.max_waste,
        "sessions": standing.shapes,
        "stock": standing.stock,
        "pending": standing.pending,
        "goal": standing.goal,
        "demand": standing.demand,
        "minted": bill.minted,
        "used": bill.used,
        "wasted": bill.wasted,
        "lost": bill.lost,
        "hour": {"minted": bill.hour_minted, "wasted": bill.hour_wasted, "waste": round(standing.waste, 4)},
        "replicas": len(having),
        "paused": paused,
    }


def _pools(
    replicas: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    """The replica, the model, what it told of its pool; without what another release tells otherwise."""
    for each in replicas:
        pools = each.get(POOLS)
        for model, pool in pools.items() if isinstance(pools, dict) else ():
            if _is_readable(pool):
                yield each, model, pool


def _is_readable(pool: Any) -> bool:
    match pool:
        case {"target": int(), "max_waste": int() | float(), "paused": None}:
            return True
        case {
            "target": int(),
            "max_waste": int() | float(),
            "paused": {"reason": str(), "seconds": int() | float()},
        }:
            return True
    return False


def _seconds_left(replica: Mapping[str, Any], pool: Mapping[str, Any]) -> float:
    paused = pool["paused"]
    return 0.0 if paused is None else float(paused["seconds"]) - float(replica.get("age", 0))


def _paused(replica: Mapping[str, Any], pool: Mapping[str, Any]) -> Document:
    return {
        "replica": str(replica.get("replica", "")),
        "reason": pool["paused"]["reason"],
        "seconds": round(_seconds_left(replica, pool), 1),
    }
