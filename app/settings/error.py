"""The one error of reading settings. A leaf module, so that every reader can raise it."""

from __future__ import annotations


class SettingsError(Exception):
    """The settings are unusable. The message has a line a problem, each with its mend, and no secret."""
