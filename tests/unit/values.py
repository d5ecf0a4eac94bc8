"""Well-formed values of every kind, for tests that change one thing about them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from app.models import Deployment, Family, MintRequest, Offer, Secret
from app.providers.azure import REGIONS
from app.providers.registry import PROVIDERS

# An hour that never moves, for everything that takes a clock; epoch seconds.
NOW: Final = 1_790_000_000.0

OPENAI_KEY: Final = "sk-proj-unit7Qz4YtWmP1nXcVbKjHgFdSaRe9876"
AZURE_KEY: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
EPHEMERAL_KEY: Final = "ek_unit_5f0c2ad9e87b41c6a3d2"

BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "azure": "https://acme-voice.openai.azure.com/openai/v1",
    "azure-preview": "https://acme-voice.openai.azure.com",
    "openai-live": "https://api.openai.com/v1",
    "azure-live": "https://acme-voice.openai.azure.com/openai/v1",
    "azure-voice-live": "https://acme-voice.services.ai.azure.com",
}


def ring_secret(name: str, *, size: int = 32) -> str:
    """``size`` bytes of base64url that look random and are the same in every run."""
    return base64.urlsafe_b64encode(hashlib.shake_256(name.encode()).digest(size)).decode().rstrip("=")


def ring(*kids: str) -> str:
    """A ring's text with these key ids, the first of them active."""
    return ",".join(f"{kid}:{ring_secret(kid)}" for kid in kids)


def ed25519_ring(kid: str) -> str:
    """A ring's text with one Ed25519 key."""
    return f"{kid}:ed25519.{ring_secret(kid)}"


def deployment(provider: str = "openai", **changes: Any) -> Deployment:
    """A deployment of this provider."""
    values: dict[str, Any] = {
        "name": f"{provider}-main",
        "provider": provider,
        "base_url": BASE_URLS.get(provider, f"https://{provider}.example/v1"),
        "api_key": Secret(OPENAI_KEY if provider.startswith("openai") else AZURE_KEY),
        "upstream_model": "voice-prod" if not provider.startswith("openai") else None,
        "webrtc_url": REGIONS["eastus2"] if provider == "azure-preview" else None,
        "ephemeral_keys": PROVIDERS[provider].traits.mints,
    }
    return Deployment(**{**values, **changes})


def mint_request(**changes: Any) -> MintRequest:
    """A checked mint request."""
    values: dict[str, Any] = {"model": "assistant", "family": Family.REALTIME, "session": {}}
    return MintRequest(**{**values, **changes})


class HeldTokens:
    """Tokens that are there, as a keeper has them after its start."""

    def current(self) -> Secret:
        return Secret("eyJ.token.now")

    def held(self) -> tuple[Secret, ...]:
        return (self.current(),)

    def refused(self) -> None:
        """Nothing to ask for."""

    async def start(self, *, wait: float) -> bool:
        """Nothing to begin: they are there."""
        return True

    async def close(self) -> None:
        """Nothing to stop."""


def another_letter(present: str, letters: str, drawn: int) -> str:
    """The letter of this number among those that are not the present one.

    For texts that are another one each time, such as a token with a random id. A filter that looks at such a
    text rejects other draws the second time, and Hypothesis fails the test with FlakyStrategyDefinition.
    """
    others = letters.replace(present, "")
    return others[drawn % len(others)]


def offer(sdp: bytes) -> Offer:
    """An offer as ``web.bodies`` makes it."""
    return Offer(sdp=sdp, sha256=hashlib.sha256(sdp).hexdigest())
