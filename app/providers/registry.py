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
from app.providers.base import Provider, Traits
from app.providers.dialects.inworld import Inworld
from app.providers.dialects.qwen import Qwen
from app.providers.dialects.selfhosted import LocalAI, SpeechToSpeech
from app.providers.dialects.voice_live import AzureVoiceLive
from app.providers.live import AzureLive, OpenAILive
from app.providers.openai import OpenAI

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_known: Final[dict[str, Provider]] = {
    "openai": OpenAI(),
    "azure": Azure(),
    "azure-preview": AzurePreview(),
    "openai-live": OpenAILive(),
    "azure-live": AzureLive(),
    "azure-voice-live": AzureVoiceLive(),
    "inworld": Inworld(),
    "qwen": Qwen(),
    "localai": LocalAI(),
    "speech-to-speech": SpeechToSpeech(),
}
PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(_known)

# What the documents of a provider leave open, and so is coded for defensively and was never tried against the
# real service. ``docs/providers.md`` and ``cloakroom doctor`` repeat it.
UNVERIFIED: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": (
        "the status of the two translation paths",
        "that a translation's call takes a session from a standard key",
        "a sideband's close codes",
    ),
    "azure": ("that a hang-up and a sideband answer exactly as OpenAI's do",),
    "azure-preview": ("whether an offer is answered by 200 or 201, and with a `Location`",),
    "azure-voice-live": (
        "that a call ends with its WebSocket",
        "how a handshake is refused, and which messages come before the answer",
        "that a later api_version takes the flat form of a session",
        "which events of a tool call reach the page",
    ),
    "openai-live": (
        "all of it at the real service",
        "the form of session ids",
        "how long a session may last (an hour is assumed)",
        "the code of a session that is gone",
        "how often usage is told",
    ),
    "azure-live": (
        "all of it at the real service",
        "that Azure answers exactly as OpenAI does",
        "whether a `delegation` names a deployment",
    ),
    "inworld": (
        "all of it at the real service",
        "the form of its refusals",
        "whether a 201 also has a `Location`",
        "a hang-up and a sideband beyond what its documents say",
        "how long the credentials of its ICE servers live",
    ),
    "qwen": (
        "all of it at the real service",
        "whether a temporary key opens a call",
        "the status of an answer, and whether it has a `Location`",
        "whether there is a way to hang up",
    ),
    "localai": ("all of it at a running LocalAI",),
    "speech-to-speech": ("a conversation with its models",),
}


def region_of(traits: Traits, region: str | None, base_url: str) -> str | None:
    """The region of a deployment: the one that is set, else the one whose URL this is."""
    if region is not None or traits.has_front_end:
        return region
    return next((name for name, url in traits.regions.items() if url == base_url), None)


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
