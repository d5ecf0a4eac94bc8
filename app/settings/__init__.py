"""The settings: environment, YAML and LiteLLM's files, read once into frozen objects and checked.

No part is made here: that is ``app.wiring``. A default that only one part knows belongs to that part.
"""

from app.settings.deployment import DeploymentSettings, EntraSettings
from app.settings.error import SettingsError
from app.settings.litellm import LiteLlmNote
from app.settings.load import (
    known_environment_names,
    load_settings,
    load_with_notes,
    without_service_links,
)
from app.settings.model import ClientSettings, Settings

__all__ = [
    "Settings",
    "DeploymentSettings",
    "EntraSettings",
    "ClientSettings",
    "SettingsError",
    "LiteLlmNote",
    "load_settings",
    "load_with_notes",
    "known_environment_names",
    "without_service_links",
]
