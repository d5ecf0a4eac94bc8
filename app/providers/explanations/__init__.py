"""What a provider's refusal most likely means, and which of our settings to change. Pure; one table.

The providers' own messages are true and seldom help: for a wrong endpoint Azure says "Resource not found",
and for an old api-version it sends a 500 with a path. The first rule of ``rules`` that fits is used. It reads
the provider's message and repeats nothing of it.
"""

from __future__ import annotations

import re
from typing import Final

from app.models import Deployment
from app.providers.explanations.rules import NAMED, RULES, Credential, Operation, Rule

# The variables that are enough for a start with one provider, by the setting that each stands for.
_USUAL_NAMES: Final = {
    ("azure", "api_key"): "AZURE_OPENAI_API_KEY",
    ("azure", "base_url"): "AZURE_OPENAI_ENDPOINT",
    ("azure", "model"): "AZURE_OPENAI_DEPLOYMENT_NAME",
    ("openai", "api_key"): "OPENAI_API_KEY",
    ("openai", "base_url"): "OPENAI_BASE_URL",
}


def explain(
    deployment: Deployment, operation: Operation, *, status: int, code: str | None, message: str
) -> str | None:
    """Return one sentence on what is most likely wrong and what to change; None where that is not known.

    ``message`` is the provider's. It is matched against the rules and never repeated.
    """
    rule = rule_for(deployment, operation, status=status, code=code, message=message)
    if rule is None:
        return None
    return rule.says.format(
        place=f"deployments.{deployment.name}",
        key=setting_name(deployment.name, deployment.provider, "api_key"),
        url=setting_name(deployment.name, deployment.provider, "base_url"),
        model=setting_name(deployment.name, deployment.provider, "model"),
    )


def rule_for(
    deployment: Deployment, operation: Operation, *, status: int, code: str | None, message: str
) -> Rule | None:
    """The first rule that fits."""
    credential = _credential(deployment, operation)
    provider = deployment.provider if deployment.provider in NAMED else "openai"
    for rule in RULES:
        fits = (
            provider in rule.providers
            and (not rule.statuses or status in rule.statuses)
            and (not rule.codes or code in rule.codes)
            and rule.operation in (None, operation)
            and rule.credential in (None, credential)
            and (rule.message is None or re.search(rule.message, message) is not None)
        )
        if fits:
            return rule
    return None


def _credential(deployment: Deployment, operation: Operation) -> Credential:
    if operation == "relay":
        return "ephemeral"
    if deployment.api_key is not None:
        return "key"
    return "token" if deployment.tokens is not None else "none"


def setting_name(deployment: str, provider: str, field: str) -> str:
    """The setting's name, and the variable that stands for it in a start with one provider."""
    usual = _USUAL_NAMES.get((deployment, field)) if deployment == provider else None
    place = f"deployments.{deployment}.{field}"
    return f"{place} ({usual})" if usual is not None else place
