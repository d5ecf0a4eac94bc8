"""Settings: environment and YAML, parsed once into a frozen object."""

from app.settings.load import SettingsError, known_environment_names, load_settings
from app.settings.model import ClientSettings, DeploymentSettings, Settings

__all__ = [
    "Settings",
    "DeploymentSettings",
    "ClientSettings",
    "SettingsError",
    "load_settings",
    "known_environment_names",
]
