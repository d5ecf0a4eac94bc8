"""Which deployments belong to which models, and the names to try a mint under. Pure."""

from __future__ import annotations

from app.broker.catalog import ANY_MODEL
from app.doctor.finding import Finding
from app.doctor.mint_trial import Trial
from app.models import Deployment
from app.settings import Settings
from app.settings.aliases import AnyModelSettings, choices
from app.wiring import build_model


def leads_to(settings: Settings, alias: str | None, name: str) -> bool:
    """Whether a model leads to a deployment; every model does where ``alias`` is None."""
    if alias is None:
        return True
    entry = _entry(settings, alias)
    return entry is not None and any(choice.deployment == name for choice in choices(entry))


def aliases_of(settings: Settings, name: str) -> list[str]:
    """The models that lead to a deployment, for people."""
    return [
        "any other name" if alias == ANY_MODEL else alias
        for alias, entry in settings.models.items()
        if any(choice.deployment == name for choice in choices(entry))
    ]


def trials_for(settings: Settings, alias: str | None, deployment: Deployment) -> list[Trial]:
    """One alias for each of the provider's names that it is asked for under: its own, or every alias.

    Empty where any name leads here and none is known.
    """
    wanted = [alias] if alias is not None else [name for name in settings.models if name != ANY_MODEL]
    if alias is None and settings.default_model is not None:
        wanted.append(settings.default_model)
    trials: dict[str, Trial] = {}
    for name in wanted:
        entry = _entry(settings, name)
        if entry is not None and leads_to(settings, name, deployment.name):
            trials.setdefault(deployment.upstream_model or name, Trial(name, build_model(entry).policy))
    return list(trials.values())


def unknown_model_findings(settings: Settings, alias: str | None) -> list[Finding]:
    """A row that says so when a model was asked for that there is not."""
    if alias is None or _entry(settings, alias) is not None:
        return []
    fix = f"ask for one of {', '.join(sorted(settings.models))}, or add it under models"
    return [Finding("settings", "--model", "fail", f"there is no model '{alias}'", fix)]


def _entry(settings: Settings, alias: str) -> AnyModelSettings | None:
    return settings.models.get(alias, settings.models.get(ANY_MODEL))
