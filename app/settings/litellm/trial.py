"""Tries the deployment of an entry that may be for something else: such a one must not stop the start.

What is wrong with the others is told by the settings themselves and when the parts are wired.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.outbound.entra import entra_installed
from app.providers.registry import PROVIDERS
from app.settings.deployment import DeploymentSettings
from app.settings.error import SettingsError


def try_deployment(place: str, deployment: Mapping[str, Any]) -> None:
    """Check what would be refused later.

    Raises:
        SettingsError: a value does not fit, or ``azure-identity`` is wanted and not installed.
    """
    try:
        settings = DeploymentSettings.model_validate(deployment)
        PROVIDERS[settings.provider].base_url(settings.base_url)
    except ValidationError as error:
        # The error's own text shows the values.
        problem = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{place}: {field}: {text}" if field else f"{place}: {text}") from None
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None
    if settings.entra is not None and not entra_installed():
        raise SettingsError(f"{place}: signing in with Entra needs azure-identity, which is not installed")
