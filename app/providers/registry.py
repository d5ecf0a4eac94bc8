"""The providers by the name that a deployment's ``provider`` setting uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.providers.azure import Azure
from app.providers.azure_preview import AzurePreview
from app.providers.base import Provider
from app.providers.openai import OpenAI

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": OpenAI(),
    "azure": Azure(),
    "azure-preview": AzurePreview(),
}
