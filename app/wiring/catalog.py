"""The models and what stands behind them, from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.catalog import Catalog, Choice, Model
from app.models import ModelPolicy
from app.settings import Settings
from app.settings.aliases import AnyModelSettings, ModelSettings, choices
from app.wiring.deployments import build_deployments


def build_catalog(settings: Settings, *, clock: Callable[[], float] = time.time) -> Catalog:
    """The models of the settings over their deployments.

    Raises:
        WiringError: a deployment cannot be built.
    """
    deployments = build_deployments(settings, clock=clock)
    models = {alias: build_model(entry) for alias, entry in settings.models.items()}
    return Catalog(deployments, models, default_model=settings.default_model)


def build_model(entry: AnyModelSettings) -> Model:
    """One alias with its deployments and its policy."""
    found = tuple(Choice(choice.deployment, choice.priority, choice.weight) for choice in choices(entry))
    if not isinstance(entry, ModelSettings):
        return Model(found)
    return Model(
        found,
        ModelPolicy(
            defaults=entry.defaults,
            locked=entry.locked,
            strip_instructions=entry.strip_instructions,
            min_seconds=entry.min_seconds,
            max_seconds=entry.max_seconds,
            default_seconds=entry.default_seconds,
            max_calls=entry.max_calls,
        ),
    )
