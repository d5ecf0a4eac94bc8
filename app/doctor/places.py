"""What an operator calls a deployment's setting, so that a fix can name it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from app.providers.explanations import setting_name

Origin = Literal["ours", "litellm"]

_LITELLM: Final[Mapping[str, str]] = {"base_url": "api_base", "model": "model", "api_key": "api_key"}


def place_of(origin: Origin, deployment: str, provider: str, field: str) -> str:
    """The setting's name, or the key in a LiteLLM file that it was made of."""
    if origin == "litellm" and field in _LITELLM:
        return f"litellm_params.{_LITELLM[field]} of the entry that is served as '{deployment}'"
    return setting_name(deployment, provider, field)
