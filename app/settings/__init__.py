"""The settings: environment, YAML and LiteLLM's file, read once into frozen objects and checked.

The parts of the service are built from them in ``app.wiring``. A constant that one part uses belongs there.
"""

from app.settings.base import SettingsError
from app.settings.client import ClientSettings
from app.settings.deployment import DeploymentSettings, EntraSettings
from app.settings.environment import Variables
from app.settings.identity import IssuerSettings
from app.settings.litellm import LiteLlmNote
from app.settings.load import SettingsSource, known_environment_names, load_settings, load_with_notes
from app.settings.model import Settings

__all__ = [
    "Settings",
    "DeploymentSettings",
    "EntraSettings",
    "ClientSettings",
    "IssuerSettings",
    "SettingsError",
    "LiteLlmNote",
    "SettingsSource",
    "load_settings",
    "load_with_notes",
    "known_environment_names",
    "Variables",
]
