"""LiteLLM's ``os.environ/NAME``: any value of its file may name a variable instead of holding the text."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any, Final

from app.settings.base import SettingsError
from app.telemetry.redaction import one_safe_line

PREFIX: Final = "os.environ/"


class LiteLlmEnvironment:
    """The variables that a file may name.

    Args:
        environ: the process's.
        section: the file's ``environment_variables``, which LiteLLM puts under the process's own ones.
    """

    def __init__(self, environ: Mapping[str, str], section: Any) -> None:
        own = section if isinstance(section, dict) else {}
        # One of these that names itself (NAME: os.environ/NAME) adds nothing.
        plain = {str(name): str(value) for name, value in own.items() if not str(value).startswith(PREFIX)}
        self._variables = ChainMap(dict(environ), plain)

    def text(self, place: str, key: str, value: Any) -> str | None:
        """The text of a value: itself, or that of the variable it names; None for none and for an empty one.

        Raises:
            SettingsError: the variable is not set; the message names the entry, the key and the variable.
        """
        if value is None:
            return None
        text = str(value).strip()
        if not text.startswith(PREFIX):
            return text or None
        name = text.removeprefix(PREFIX)
        if name not in self._variables:
            # Somebody may have put the key itself behind the prefix.
            shown = one_safe_line(name, limit=80)
            raise SettingsError(f"{place}: {key} names the environment variable {shown}, which is not set")
        return self._variables[name].strip() or None

    def resolved(self, place: str, key: str, value: Any) -> Any:
        """A value with every reference in it replaced, however deep.

        Raises:
            SettingsError: as ``text``.
        """
        if isinstance(value, dict):
            return {str(name): self.resolved(place, f"{key}.{name}", item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolved(place, key, item) for item in value]
        return self.text(place, key, value) if isinstance(value, str) else value

    def first(self, *names: str) -> str | None:
        """The first of these variables that is set and not empty."""
        return next((value for name in names if (value := self._variables.get(name, "").strip())), None)
