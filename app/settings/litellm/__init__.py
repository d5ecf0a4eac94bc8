"""Turns LiteLLM's ``config.yaml``, unchanged, into settings in the shape of our own YAML, with notes.

No value is checked here that ``app.settings`` checks for every file.
"""

from app.settings.litellm.config import is_litellm, read_litellm
from app.settings.litellm.sections import LiteLlmNote

__all__ = ["LiteLlmNote", "is_litellm", "read_litellm"]
