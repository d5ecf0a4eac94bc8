"""LiteLLM files to read, and environments that they fit."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from app.settings import LiteLlmNote, SettingsError
from app.settings.litellm import read_litellm
from tests.unit.values import AZURE_KEY, OPENAI_KEY

SAMPLES: Final = Path(__file__).resolve().parents[2] / "samples" / "litellm"
EVERY_FORM: Final = SAMPLES / "every_form.yaml"

MASTER_KEY: Final = "sk-Vb6Yt2Mk9QpLx4Rz8Nw1Hc7Jd5Gf3"
ENTRA_SECRET: Final = "en~7Q.tSecretOfTheApplication"
INWORLD_KEY: Final = "iw-3kf93mKd93mfKdlw93"
ENVIRONMENT: Final[dict[str, str]] = {
    "OPENAI_API_KEY": OPENAI_KEY,
    "OPENAI_BASE_URL": "https://eu.api.openai.com/v1",
    "AZURE_EAST_BASE": "https://acme-east.openai.azure.com/",
    "AZURE_EAST_KEY": AZURE_KEY,
    "ENTRA_TENANT": "11111111-0000-0000-0000-000000000000",
    "ENTRA_CLIENT": "22222222-0000-0000-0000-000000000000",
    "ENTRA_SECRET": ENTRA_SECRET,
    "INWORLD_KEY": INWORLD_KEY,
    "TUNED_BASE": "https://gateway.example",
    "LITELLM_MASTER_KEY": MASTER_KEY,
}
SECRETS: Final = (MASTER_KEY, ENTRA_SECRET, INWORLD_KEY, AZURE_KEY, OPENAI_KEY, "north-key-0123456789abcdef")


def read(text: str, environ: Mapping[str, str] = ENVIRONMENT) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """Read a file's text; no note may show a secret."""
    values, notes = read_litellm(yaml.safe_load(text), environ)
    for note in notes:
        assert not any(secret in str(note) for secret in SECRETS), note
    return values, notes


def entry(model: str, *, mode: str | None = "realtime", name: str = "voice", **params: Any) -> str:
    """A file of one entry."""
    info = {"model_info": {"mode": mode}} if mode else {}
    one = {"model_name": name, "litellm_params": {"model": model, **params}, **info}
    return yaml.safe_dump({"model_list": [one]})


def only_deployment(text: str, environ: Mapping[str, str] = ENVIRONMENT) -> dict[str, Any]:
    """The one deployment of a file."""
    values, _ = read(text, environ)
    (deployment,) = values["deployments"].values()
    assert isinstance(deployment, dict)
    return deployment


def refused(text: str, environ: Mapping[str, str] = ENVIRONMENT) -> list[str]:
    """The lines of the refusal; it is checked here that none holds a secret."""
    with pytest.raises(SettingsError) as error:
        read_litellm(yaml.safe_load(text), environ)
    shown = f"{error.value!r}" + "".join(traceback.format_exception(error.value))
    assert not any(secret in shown for secret in SECRETS)
    return str(error.value).splitlines()
