"""Secrets in clear, for the one part that each is for."""

from __future__ import annotations

from pydantic import SecretStr

from app.wiring.errors import WiringError


def reveal(secret: SecretStr | None) -> str:
    """The text of a secret; the settings have checked that it is there."""
    if secret is None:
        raise WiringError("a secret is missing; make the settings with load_settings")
    return secret.get_secret_value()
