"""Environments to load settings from, with planted secrets that no text may ever show."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from app.settings import Settings, SettingsError, load_settings
from tests.unit.values import AZURE_KEY, OPENAI_KEY, ring, ring_secret

CLIENT_KEY: Final = "ck_7Qz4YtWmP1nXcVbKjHgFdSaRe"
OTHER_KEY: Final = "ck_Zk8wLr2uTn5vEo1iYp3aQs6d"
ADMIN_KEY: Final = "ak_Pl0kMn9jBh8vGy7cFt6xDr5z"
STORE_PASSWORD: Final = "pw-J8h2Kd93lQwe"

OWN: Final[dict[str, str]] = {
    "CLOAKROOM_SIGNING_KEYS": ring("sign1"),
    "CLOAKROOM_SEALING_KEYS": ring("seal1"),
    "CLOAKROOM_API_KEYS": f"shop:{CLIENT_KEY}",
    "CLOAKROOM_REDIS_URL": f"redis://default:{STORE_PASSWORD}@cache:6379/0",
}
OPENAI: Final[dict[str, str]] = {"OPENAI_API_KEY": OPENAI_KEY}
AZURE: Final[dict[str, str]] = {
    "AZURE_OPENAI_ENDPOINT": "https://acme-voice.openai.azure.com/",
    "AZURE_OPENAI_API_KEY": AZURE_KEY,
    "AZURE_OPENAI_DEPLOYMENT_NAME": "voice-prod",
}
GOOD: Final[dict[str, str]] = {**OWN, **OPENAI}

PLANTED: Final = (
    ring_secret("sign1"),
    ring_secret("seal1"),
    CLIENT_KEY,
    OTHER_KEY,
    ADMIN_KEY,
    STORE_PASSWORD,
    OPENAI_KEY,
    AZURE_KEY,
)


def load(base: Mapping[str, str] = GOOD, /, **changes: str) -> Settings:
    """Load settings from an environment with changes."""
    return load_settings({**base, **changes})


def without(*names: str) -> dict[str, str]:
    """The good environment less these names."""
    return {name: value for name, value in GOOD.items() if name not in names}


def problems(base: Mapping[str, str] = GOOD, /, **changes: str) -> list[str]:
    """The lines of the refusal; it is checked here that none holds a planted secret."""
    with pytest.raises(SettingsError) as refused:
        load_settings({**base, **changes})
    shown = f"{refused.value!r}" + "".join(traceback.format_exception(refused.value))
    for secret in PLANTED:
        assert secret not in shown
    return str(refused.value).splitlines()


def yaml_file(folder: Path, text: str) -> str:
    """Write a settings file and return its name."""
    path = folder / "cloakroom.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)
