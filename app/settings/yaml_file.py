"""Reads the file that ``CLOAKROOM_CONFIG`` names: our own YAML, or LiteLLM's ``config.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app.settings.error import SettingsError
from app.settings.litellm import LiteLlmNote, is_litellm, read_litellm

CONFIG_NAME: Final = "CLOAKROOM_CONFIG"

_ENV_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file's settings in the shape of our own YAML, and what was made of it where it is LiteLLM's."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[LiteLlmNote, ...] = ()


def read_config(environ: Mapping[str, str]) -> ConfigFile:
    """Read the file that the environment names; an empty one where it names none.

    Raises:
        SettingsError: the file cannot be read, is no mapping, or refers to a variable that is not set.
    """
    name = environ.get(CONFIG_NAME)
    loaded = _load(name) if name else None
    if loaded is None:
        return ConfigFile()
    if not isinstance(loaded, dict):
        raise SettingsError(
            f"{CONFIG_NAME}: {name} must hold a mapping with settings such as deployments and models"
        )
    if is_litellm(loaded):
        values, notes = read_litellm(loaded, environ)
        return ConfigFile(values, tuple(notes))
    return ConfigFile(_expand(loaded, environ))


def _load(name: str) -> Any:
    try:
        return yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        # A YAML error quotes the line at fault, which may hold a secret: only its place is told.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = error.strerror if isinstance(error, OSError) else "it is no valid YAML"
        raise SettingsError(f"{CONFIG_NAME}: {name} cannot be read{where}: {reason}") from None


def _expand(value: Any, environ: Mapping[str, str]) -> Any:
    """Replace ``${NAME}`` in every string of the file by the variable's value."""
    if isinstance(value, dict):
        return {str(key): _expand(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise SettingsError(
                f"{CONFIG_NAME}: the file names ${{{match[1]}}}, which is not set in the environment"
            )
        return environ[match[1]]

    return _ENV_REFERENCE.sub(variable, value)
