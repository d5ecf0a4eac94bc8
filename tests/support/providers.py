"""Providers that mint no ephemeral keys, or none for browsers, each a deployment at the provider in a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.support.planted import Planted


@dataclass(frozen=True)
class Place:
    """One deployment; the model that leads to it has the same name.

    ``settings`` are the deployment's: ``{provider}`` is the origin of the provider in a box, ``{key}`` and
    ``{azure_key}`` stand for the planted keys. ``names_calls``: its answers name the call. ``hangs_up``: a
    call can be ended there. A page that sends an event of the type ``asks`` gets one of the type ``answers``.
    ``channel`` is the label of the data channel that its calls have. ``minted`` is how the keys begin that it
    mints, None where it mints none.
    """

    name: str
    settings: Mapping[str, Any]
    session: Mapping[str, Any] = field(default_factory=dict)
    names_calls: bool = True
    hangs_up: bool = True
    channel: str = "oai-events"
    asks: str = "response.create"
    answers: str = "response.done"
    minted: str | None = None

    def __str__(self) -> str:
        return self.name


# A new dialect adds its line here; the tests of two replicas and those of the browser both go through it.
PLACES: Final = (
    Place(
        "openai-without-keys",
        {
            "provider": "openai",
            "base_url": "{provider}/v1",
            "api_key": "{key}",
            "model": "gpt-realtime-2.1",
            "ephemeral_keys": False,
        },
        session={"instructions": "Answer briefly.", "audio": {"output": {"voice": "marin"}}},
    ),
    Place(
        "open-server",
        {
            "provider": "openai",
            "base_url": "{provider}/open/v1",
            "model": "gpt-realtime-2.1",
            "ephemeral_keys": False,
        },
    ),
    Place(
        "localai",
        {"provider": "localai", "base_url": "{provider}/localai", "model": "gpt-realtime-2.1"},
        names_calls=False,
        hangs_up=False,
    ),
    Place(
        "azure-voice-live",
        {
            "provider": "azure-voice-live",
            "base_url": "{provider}",
            "api_key": "{azure_key}",
            "model": "gpt-realtime-2.1",
        },
        session={"instructions": "Answer briefly."},
        channel="voice-live-events",
    ),
    Place("speech-to-speech", {"provider": "speech-to-speech", "base_url": "{provider}/speech-to-speech"}),
    Place(
        "openai-live",
        {
            "provider": "openai-live",
            "base_url": "{provider}/v1",
            "api_key": "{key}",
            "model": "gpt-live-1",
        },
        session={"type": "live", "instructions": "Answer briefly."},
        asks="session.input_audio.mute",
        answers="session.input_audio.muted",
    ),
    Place(
        "azure-live",
        {"provider": "azure-live", "base_url": "{provider}", "api_key": "{azure_key}", "model": "live-prod"},
        session={"type": "live"},
        asks="session.input_audio.mute",
        answers="session.input_audio.muted",
    ),
    Place(
        "inworld",
        {
            "provider": "inworld",
            "base_url": "{provider}/inworld/v1",
            "api_key": "{key}",
            "model": "openai/gpt-4o-mini",
        },
        session={"instructions": "Answer briefly.", "audio": {"output": {"voice": "Sarah"}}},
    ),
    Place(
        "qwen",
        {
            "provider": "qwen",
            "base_url": "{provider}",
            "api_key": "{key}",
            "model": "qwen3.8-omni-flash-realtime",
        },
        names_calls=False,
        hangs_up=False,
        minted="st-",
    ),
)


def settings_for(planted: Planted, places: Sequence[Place] = PLACES) -> dict[str, Any]:
    """The environment of a replica that has these; ``{provider}`` is left for the stack to fill in."""
    deployments = orjson.dumps({place.name: dict(place.settings) for place in places}).decode()
    deployments = deployments.replace("{azure_key}", planted.azure_key)
    return {
        "CLOAKROOM_DEPLOYMENTS": deployments.replace("{key}", planted.openai_key),
        "CLOAKROOM_MODELS": orjson.dumps({place.name: place.name for place in places}).decode(),
    }
