"""Secrets for one test run, planted so that the canary tests can look for each of them in every sink."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


def _ring(kid: str) -> str:
    return f"{kid}:{secrets.token_urlsafe(32)}"


@dataclass(frozen=True)
class Planted:
    """One set of secrets, all random."""

    signing: str = field(default_factory=lambda: _ring("sign1"))
    sealing: str = field(default_factory=lambda: _ring("seal1"))
    client_key: str = field(default_factory=lambda: "ck_" + secrets.token_urlsafe(32))
    admin_key: str = field(default_factory=lambda: "ak_" + secrets.token_urlsafe(32))
    openai_key: str = field(default_factory=lambda: "sk-proj-" + secrets.token_urlsafe(32))
    azure_key: str = field(default_factory=lambda: secrets.token_hex(16))
    store_password: str = field(default_factory=lambda: "pw" + secrets.token_urlsafe(24))

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of one replica, less the store and the provider."""
        return {
            "CLOAKROOM_ENVIRONMENT": "development",
            "CLOAKROOM_SIGNING_KEYS": self.signing,
            "CLOAKROOM_SEALING_KEYS": self.sealing,
            "CLOAKROOM_API_KEYS": f"shop:{self.client_key}",
            "CLOAKROOM_ADMIN_KEYS": f"sre:{self.admin_key}",
            "CLOAKROOM_DRAIN_SECONDS": "0",
            # On a busy machine a healthy store or provider may be late; a test that wants one to be too late
            # sets its own deadline.
            "CLOAKROOM_STORE_TIMEOUT_SECONDS": "30",
            "CLOAKROOM_CONNECT_TIMEOUT_SECONDS": "30",
            "CLOAKROOM_MINT_TIMEOUT_SECONDS": "60",
            "CLOAKROOM_RELAY_TIMEOUT_SECONDS": "60",
            **more,
        }

    def all_values(self) -> list[str]:
        """Each secret as it must never be seen; of a ring, the part after the key id."""
        return [
            self.signing.partition(":")[2],
            self.sealing.partition(":")[2],
            self.client_key,
            self.admin_key,
            self.openai_key,
            self.azure_key,
            self.store_password,
        ]
