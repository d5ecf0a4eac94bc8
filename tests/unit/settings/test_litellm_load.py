"""A LiteLLM file in ``CLOAKROOM_CONFIG``: our own rules hold, the environment wins, notes come with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.models import Client
from app.settings import load_settings, load_with_notes
from app.wiring import build_catalog, build_clients
from tests.unit.settings.environments import CLIENT_KEY, OWN, problems, yaml_file
from tests.unit.settings.litellm_files import ENVIRONMENT, EVERY_FORM, MASTER_KEY, SAMPLES, entry
from tests.unit.values import AZURE_KEY, OPENAI_KEY


def environ(config: Path | str, **more: str) -> dict[str, str]:
    return {**OWN, **ENVIRONMENT, "CLOAKROOM_CONFIG": str(config), **more}


def test_every_form_passes_our_own_rules_and_makes_a_catalog() -> None:
    settings, notes = load_with_notes(environ(EVERY_FORM))
    catalog = build_catalog(settings)
    anybody = Client("anybody")
    voice = catalog.resolve(anybody, "voice").deployments
    assert [(one.name, one.base_url) for one in voice] == [
        ("azure-acme-west-voice-west", "https://acme-west.openai.azure.com/openai/v1"),
        ("azure-acme-east-voice-east", "https://acme-east.openai.azure.com/openai/v1"),
    ]
    (west,) = catalog.resolve(anybody, "azure/voice-west").deployments
    assert west.name == "azure-acme-west-voice-west"
    (guide,) = catalog.resolve(anybody, "openai/gpt-4o-realtime-preview-2024-12-17").deployments
    assert guide.upstream_model == "gpt-4o-realtime-preview-2024-12-17"
    assert [note.entry for note in notes if note.text.startswith("left out")]


def test_master_and_the_clients_of_the_environment_may_both_mint() -> None:
    clients = build_clients(load_settings(environ(EVERY_FORM)))
    assert clients.authenticate(MASTER_KEY).name == "master"
    assert clients.authenticate(CLIENT_KEY).name == "shop"


def test_the_environment_wins_over_the_file() -> None:
    settings = load_settings(
        environ(EVERY_FORM, CLOAKROOM_DEFAULT_MODEL="voice", CLOAKROOM_MODELS='{"pod": "inworld-eu"}')
    )
    assert settings.default_model == "voice"
    assert settings.models["pod"] == "inworld-eu"
    assert "realtime-eu" in settings.models


def test_the_usual_variables_add_no_model_to_those_of_the_file() -> None:
    settings = load_settings(environ(SAMPLES / "guide.yaml"))
    assert settings.models.keys() == {"gpt-4o-realtime", "openai/gpt-4o-realtime-preview-2024-12-17"}
    assert settings.default_model == "gpt-4o-realtime"


def test_a_file_without_a_realtime_model_does_not_fall_back_to_the_usual_variables(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, entry("openai/gpt-4o", mode="chat"))
    assert problems(environ(config)) == [
        "model_list: no entry is a realtime model that is served here",
        "model_list entry 1 (voice): left out: its model_info.mode is chat",
    ]


def test_a_refusal_ends_with_the_files_warnings(tmp_path: Path) -> None:
    loaded: dict[str, Any] = yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY))
    config = yaml_file(tmp_path, yaml.safe_dump({**loaded, "general_settings": {"master_key": "sk-1234"}}))
    without_clients = {name: value for name, value in environ(config).items() if name != "CLOAKROOM_API_KEYS"}
    del without_clients["LITELLM_MASTER_KEY"]
    first, second = problems(without_clients)
    assert first.startswith("CLOAKROOM_API_KEYS is missing")
    assert second.startswith("general_settings.master_key: no client is made of it: the key is weak")


def test_a_field_in_model_info_is_checked_like_one_of_our_own_file(tmp_path: Path) -> None:
    loaded = yaml.safe_load(entry("azure/voice", api_base="https://a.openai.azure.com", api_key=AZURE_KEY))
    loaded["model_list"][0]["model_info"]["cloakroom"] = {"call_kye": "standard"}
    lines = problems(environ(yaml_file(tmp_path, yaml.safe_dump(loaded))))
    assert lines == ["deployments.azure-a-voice.call_kye: Extra inputs are not permitted"]


def test_a_dollar_in_a_litellm_key_is_a_dollar(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, entry("openai/gpt-realtime", api_key="sk-${NOT_A_VARIABLE}"))
    (deployment,) = load_settings(environ(config)).deployments.values()
    assert deployment.api_key is not None
    assert deployment.api_key.get_secret_value() == "sk-${NOT_A_VARIABLE}"


def test_our_own_file_has_no_notes(tmp_path: Path) -> None:
    config = yaml_file(
        tmp_path, f"deployments: {{oai: {{provider: openai, api_key: {OPENAI_KEY}}}}}\nmodels: {{v: [oai]}}"
    )
    settings, notes = load_with_notes(environ(config))
    assert (settings.models, notes) == ({"v": ("oai",)}, ())


@pytest.mark.parametrize("names", ["[]", "[oai, gone]"])
def test_a_model_needs_deployments_that_exist(tmp_path: Path, names: str) -> None:
    config = yaml_file(
        tmp_path,
        f"deployments: {{oai: {{provider: openai, api_key: {OPENAI_KEY}}}}}\nmodels: {{voice: {names}}}",
    )
    assert any(line.startswith("models.voice") for line in problems(environ(config)))
