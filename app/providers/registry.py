"""The dialects by the name that a deployment's ``provider`` setting uses.

To add one that speaks OpenAI's contract under other URLs, write a subclass of ``OpenAI`` in a module of its
own and name it here. A program that embeds Cloakroom calls ``register`` before it reads the settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from app.providers.azure import Azure, AzurePreview
from app.providers.base import Provider
from app.providers.dialects.voice_live import AzureVoiceLive
from app.providers.openai import OpenAI
from app.providers.selfhosted import LocalAI, SpeechToSpeech

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_known: Final[dict[str, Provider]] = {
    "openai": OpenAI(),
    "azure": Azure(),
    "azure-preview": AzurePreview(),
    "azure-voice-live": AzureVoiceLive(),
    "localai": LocalAI(),
    "speech-to-speech": SpeechToSpeech(),
}
PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(_known)


def register(name: str, provider: Provider) -> Callable[[], None]:
    """Add a dialect; returns the function that removes it again.

    Raises:
        ValueError: the name is taken, or no name for a setting: lower case letters, digits and ``-``.
    """
    if name in _known:
        raise ValueError(f"there is a provider {name!r} already")
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of a provider: lower case letters, digits and '-'")
    _known[name] = provider

    def remove() -> None:
        del _known[name]

    return remove
