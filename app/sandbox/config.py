"""What the provider in a box is told at its start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .federation import Identity

PeerKind = Literal["webrtc", "static"]

# Deployments are named after their use, never after their model: a product that sends the model's name where
# Azure wants the deployment's must fail here as it fails there. `chat` shows a deployment that is no
# realtime one.
DEFAULT_DEPLOYMENTS: Mapping[str, str] = MappingProxyType(
    {
        "voice-prod": "gpt-realtime-2.1",
        "voice-mini": "gpt-realtime-2.1-mini",
        "scribe": "gpt-live-transcribe",
        "interpreter": "gpt-realtime-translate",
        "live-prod": "gpt-live-1",
        "chat": "gpt-4o",
    }
)

# Nobody listens there; a browser that asks in vain still calls.
DEFAULT_ICE_SERVERS: tuple[Mapping[str, object], ...] = (
    {"urls": ["stun:127.0.0.1:9"]},
    {
        "urls": ["turn:127.0.0.1:9?transport=udp"],
        "username": "sandbox",
        "credential": "sandbox-turn-password",
    },
)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of one sandbox.

    Attributes:
        openai_keys: standard keys accepted at OpenAI's paths.
        azure_keys: resource keys accepted in `api-key` at Azure's paths.
        azure_tokens: Entra access tokens accepted as `Authorization: Bearer` at Azure's paths.
        azure_deployments: deployment name to the base model that it serves.
        azure_preview: whether the resource is an older one that also serves the preview paths.
        inworld_keys: keys accepted at Inworld's paths.
        ice_servers: what Inworld names as ICE servers.
        qwen_keys: permanent keys accepted at Qwen-Omni's paths.
        qwen_temporary_calls: whether a temporary key opens a call there, which is not verified.
        localai_keys: keys accepted at LocalAI's path; without any, it asks for none.
        openai_models: the exact names that OpenAI serves; None accepts every realtime, transcription and
            translation name, so that tomorrow's models need no release of this file.
        openai_ends: the day in UTC, as `2027-01-20`, from which OpenAI no longer serves a model.
        identity: whose workloads may exchange their tokens at OpenAI; None for nobody.
        key_seconds: life of an ephemeral key, in seconds, when the request names none.
        mint_seconds: how long a mint takes before it is answered.
        clock_skew: seconds added to the provider's whole notion of time.
        peer: `webrtc` answers with a real peer, `static` with text that only matches the offer's m-lines.
        peer_cap: calls that may be alive at once; the next offer is refused with 429.
        ice_seconds: how long an offer may stay unconnected before its call is ended.
        call_seconds: how long a call lasts at most; OpenAI ends a session after an hour.
        greeting: what the partner says when the data channel opens; empty for the providers' own silence.
        ephemeral_sidebands: whether calls that an ephemeral key created can be attached to; False is what one
            production report of September 2026 tells of OpenAI, 404 `call_id_not_found`.
        journal_size: how many requests the journal remembers.
        now: epoch seconds, before the skew.
    """

    openai_keys: tuple[str, ...] = ("sk-sandbox-openai-key",)
    azure_keys: tuple[str, ...] = ("sandbox-azure-key",)
    azure_tokens: tuple[str, ...] = ()
    azure_deployments: Mapping[str, str] = field(default_factory=lambda: DEFAULT_DEPLOYMENTS)
    azure_preview: bool = False
    inworld_keys: tuple[str, ...] = ("sandbox-inworld-key",)
    ice_servers: tuple[Mapping[str, object], ...] = DEFAULT_ICE_SERVERS
    qwen_keys: tuple[str, ...] = ("sk-sandbox-qwen-key",)
    qwen_temporary_calls: bool = True
    localai_keys: tuple[str, ...] = ()
    openai_models: tuple[str, ...] | None = None
    openai_ends: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    key_seconds: int = 600
    mint_seconds: float = 0.0
    clock_skew: float = 0.0
    peer: PeerKind = "webrtc"
    peer_cap: int = 64
    ice_seconds: float = 20.0
    call_seconds: float = 3600.0
    greeting: str = ""
    ephemeral_sidebands: bool = True
    journal_size: int = 1000
    now: Callable[[], float] = time.time
