"""The base of every nested section of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, with no unknown name, and errors that never quote what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
