"""Reads LiteLLM's ``config.yaml`` as it is."""

from app.settings.litellm.config import is_litellm, read_litellm
from app.settings.litellm.entry import LiteLlmNote

__all__ = ["LiteLlmNote", "is_litellm", "read_litellm"]
