"""What every module here builds on: the error of reading settings, and the base of a section."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsError(Exception):
    """The settings cannot be used. The message has one line per problem, each with its fix and no secret."""


class Section(BaseModel):
    """A nested part of the settings: frozen, without unknown names, and its errors quote no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
