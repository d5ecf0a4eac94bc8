"""Where each setting's value comes from, as ``app.settings.load`` finds it: environment, file, default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.settings import Settings, without_service_links
from app.settings.load import CONFIG_NAME, PREFIX, read_config

DEFAULT: Final = "default"
_PROVIDERS: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT")
_FROM_PROVIDERS: Final = ("deployments", "models", "default_model")


def sources(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """For each field the variable, ``CLOAKROOM_CONFIG`` and its file, both, or ``default``.

    Raises:
        SettingsError: the file cannot be read.
    """
    environ = without_service_links(environ)
    in_file = read_config(environ).values
    usual = ", ".join(name for name in _PROVIDERS if environ.get(name))
    found = {}
    for name in type(settings).model_fields:
        places = _variables(name, environ)
        if name in in_file:
            places.append(f"the file {environ[CONFIG_NAME]}")
        if not places and name in _FROM_PROVIDERS and usual and name in settings.model_fields_set:
            places.append(usual)
        found[name] = " over ".join(places) or DEFAULT
    return found


def _variables(name: str, environ: Mapping[str, str]) -> list[str]:
    """The variable itself, or the nested ones below it; an empty one is one that nobody has set."""
    variable = PREFIX + name.upper()
    below = sorted(
        each for each, value in environ.items() if value and each.upper().startswith(f"{variable}__")
    )
    whole = [variable] if any(value and each.upper() == variable for each, value in environ.items()) else []
    return [*([f"{variable}__..."] if below else []), *whole]
