"""Warm pools: what keeps mints from using one, and whether our user may keep keys in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.doctor.finding import Finding
from app.settings import Settings
from app.settings.aliases import ModelSettings, choices
from app.store import keys
from app.store.connection import StoreConnection
from app.store.pools import PoolEntry, PoolStore, PoolWish

_SHAPE: Final = "doctor"
_HOLD_SECONDS: Final = 2.0


def pool_findings(settings: Settings) -> Iterator[Finding]:
    """The rows on the models whose keys are minted ahead; none where there is no such model."""
    shown = []
    for alias, entry in settings.models.items():
        if not isinstance(entry, ModelSettings) or entry.pool is None:
            continue
        pool, names = entry.pool, (choice.deployment for choice in choices(entry))
        shown.append(f"{alias} keeps up to {pool.target:,} keys, of which {pool.max_waste:.0%} may be wasted")
        without = [name for name in names if not settings.deployments[name].mints]
        if without:
            text = f"{alias}: no mint can use its pool, since {', '.join(without)} mints no keys"
            fix = f"remove models.{alias}.pool, or that deployment from models.{alias}.deployments"
            yield Finding("settings", "pools", "warn", text, fix)
    if shown:
        yield Finding("settings", "pools", "ok", "; ".join(shown))
    if shown and settings.subject_key is not None:
        text = "mints with a subject use no pool: CLOAKROOM_SUBJECT_KEY makes a safety identifier for each"
        fix = "leave CLOAKROOM_SUBJECT_KEY out, or accept that these mints wait for the provider"
        yield Finding("settings", "pools", "warn", text, fix)


async def rehearse_pool(connection: StoreConnection, model: str) -> None:
    """Do with the keys of one model what a pool does, and remove them all.

    Args:
        model: a name that no model has.

    Raises:
        StoreUnavailable: a step was refused.
    """
    store = PoolStore(connection)
    try:
        # A session has keys from its second take on.
        for _ in range(2):
            await store.take(model, _SHAPE, serves=_HOLD_SECONDS)
        marks = await store.reserve(model, PoolWish(_SHAPE, 2, most=2, bound=2, hold=_HOLD_SECONDS))
        first, *others = marks.ids
        ends_at = marks.now + int(_HOLD_SECONDS * 1000)
        await store.put(model, _SHAPE, PoolEntry(first, "-", ends_at, "none"), good_until=ends_at)
        await store.release(model, _SHAPE, others, lost=True)
        await store.take(model, _SHAPE, serves=_HOLD_SECONDS)
        await store.state(model)
    finally:
        await connection.run_together(("DEL", *keys.pool(model)))
