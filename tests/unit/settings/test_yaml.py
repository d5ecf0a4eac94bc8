"""The YAML file: deployments, models and clients; the environment above it; errors that quote nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.unit.settings.environments import (
    AZURE,
    CLIENT_KEY,
    GOOD,
    OPENAI,
    OTHER_KEY,
    OWN,
    load,
    problems,
    without,
    yaml_file,
)
from tests.unit.values import AZURE_KEY, OPENAI_KEY

TWO_PROVIDERS = """\
port: 9000
cors_origins: [https://a.example, https://b.example]
default_model: voice
deployments:
  oai: {provider: openai, api_key: "${OPENAI_API_KEY}"}
  az:
    provider: azure
    base_url: ${AZURE_OPENAI_ENDPOINT}openai
    api_key: ${AZURE_OPENAI_API_KEY}
    model: voice-prod
models: {chat: oai, voice: az}
clients:
  kiosk: {api_key: "${KIOSK_KEY}", models: [voice], mints_per_minute: 30}
"""
VARIABLES = {**OWN, **OPENAI, **AZURE, "KIOSK_KEY": OTHER_KEY}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, str]:
    """An environment that names the file above."""
    return {**VARIABLES, "CLOAKROOM_CONFIG": yaml_file(tmp_path, TWO_PROVIDERS)}


def test_a_file_holds_several_models_of_several_providers_and_clients(config: dict[str, str]) -> None:
    settings = load(config)
    assert settings.port == 9000
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.models == {"chat": "oai", "voice": "az"}
    assert settings.deployments["az"].model == "voice-prod"
    assert settings.clients["kiosk"].models == ("voice",)
    assert settings.clients["kiosk"].mints_per_minute == 30


def test_a_variable_in_the_file_is_replaced_by_its_value(config: dict[str, str]) -> None:
    settings = load(config)
    keys = [one.api_key.get_secret_value() for one in settings.deployments.values() if one.api_key]
    assert keys == [OPENAI_KEY, AZURE_KEY]
    assert settings.deployments["az"].base_url == "https://acme-voice.openai.azure.com/openai"
    assert settings.clients["kiosk"].api_key == SecretStr(OTHER_KEY)


def test_a_variables_value_is_not_expanded_again(config: dict[str, str]) -> None:
    settings = load(config, AZURE_OPENAI_ENDPOINT="https://x.example/${OPENAI_API_KEY}/")
    assert settings.deployments["az"].base_url == "https://x.example/${OPENAI_API_KEY}/openai"


def test_a_variable_that_is_not_set_is_named(config: dict[str, str]) -> None:
    del config["KIOSK_KEY"]
    (line,) = problems(config)
    assert line == "CLOAKROOM_CONFIG: the file names ${KIOSK_KEY}, which is not set in the environment"


def test_the_environment_wins_over_the_file(config: dict[str, str]) -> None:
    settings = load(config, CLOAKROOM_PORT="9001", CLOAKROOM_CORS_ORIGINS="*", CLOAKROOM_DEFAULT_MODEL="chat")
    assert (settings.port, settings.cors_origins, settings.default_model) == (9001, ("*",), "chat")


def test_a_nested_name_changes_one_field_and_leaves_its_neighbours(config: dict[str, str]) -> None:
    settings = load(config, CLOAKROOM_DEPLOYMENTS__AZ__MODEL="voice-staging", CLOAKROOM_MODELS__EXTRA="oai")
    assert settings.deployments["az"].model == "voice-staging"
    assert settings.deployments["az"].base_url == "https://acme-voice.openai.azure.com/openai"
    assert settings.models == {"chat": "oai", "voice": "az", "extra": "oai"}


def test_nested_names_alone_make_a_deployment() -> None:
    settings = load(
        OWN,
        CLOAKROOM_DEPLOYMENTS__EU__PROVIDER="openai",
        CLOAKROOM_DEPLOYMENTS__EU__API_KEY=OPENAI_KEY,
        CLOAKROOM_MODELS='{"*": "eu"}',
    )
    assert settings.deployments["eu"].provider == "openai"


def test_where_deployments_are_configured_the_usual_names_add_none(config: dict[str, str]) -> None:
    """No variable that happens to be set widens what the file allows."""
    assert set(load(config).deployments) == {"oai", "az"}
    assert "*" not in load(config).models


def test_a_file_with_a_nested_client_needs_no_other_client(config: dict[str, str]) -> None:
    del config["CLOAKROOM_API_KEYS"]
    assert list(load(config).clients) == ["kiosk"]


def test_one_name_for_two_clients_is_refused(config: dict[str, str]) -> None:
    (line,) = problems(config, CLOAKROOM_API_KEYS=f"kiosk:{CLIENT_KEY}")
    assert line == "client 'kiosk' is in both CLOAKROOM_API_KEYS and clients; remove one of them"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("models: {voice: nowhere}", "models.voice: there is no deployment 'nowhere'; known: az, oai"),
        ("models: {}", "models is empty"),
        ("default_model: other", "CLOAKROOM_DEFAULT_MODEL: there is no model 'other'"),
        (
            'clients: {kiosk: {api_key: "${KIOSK_KEY}", models: [gone]}}',
            "clients.kiosk.models: there is no model",
        ),
        ("clients: {kiosk: {api_key: short}}", "clients.kiosk.api_key: the key is weak"),
        (
            'clients: {kiosk: {api_key: "${KIOSK_KEY}", mints_per_minute: 0}}',
            "clients.kiosk.mints_per_minute: ",
        ),
        ('clients: {kiosk: {api_key: "${KIOSK_KEY}", modles: [a]}}', "clients.kiosk.modles: "),
        ("deployments: {oai: {provider: openai}}", "deployments.oai: api_key is missing"),
        (
            'deployments: {az: {provider: azure, api_key: "${KIOSK_KEY}"}}',
            "deployments.az: base_url is missing",
        ),
        ('deployments: {oai: {provider: acme, api_key: "${KIOSK_KEY}"}}', "deployments.oai.provider: "),
        ("deployments: [oai]", "CLOAKROOM_DEPLOYMENTS: "),
        ("prot: 1", "CLOAKROOM_PROT: "),
    ],
)
def test_a_mistake_in_the_file_is_told_by_its_place(
    config: dict[str, str], tmp_path: Path, change: str, line: str
) -> None:
    name = change.partition(":")[0]
    kept, skipping = [], False
    for one in TWO_PROVIDERS.splitlines():
        if not one.startswith(" "):
            skipping = one.startswith(f"{name}:")
        if not skipping:
            kept.append(one)
    config["CLOAKROOM_CONFIG"] = yaml_file(tmp_path, "\n".join([*kept, change]))
    assert any(found.startswith(line) for found in problems(config))


MALFORMED = {
    "an open bracket": "deployments: [\n  sk-leaky-value\n",
    "a tab": "deployments:\n\t- sk-leaky-value\n",
    "an unknown tag": "a: !!python/object:os.system sk-leaky-value\n",
    "an alias to nothing": "a: *sk-leaky-value\n",
    "an impossible date": "sk-leaky-value: 2026-13-45\n",
    "a colon too many": "api_key: sk-leaky-value: sk-leaky-value\n",
    "a nul": "a: sk-leaky-value\0\n",
    "two documents": "a: 1\n---\nb: sk-leaky-value\n",
    "an unhashable key": "{[sk-leaky-value]: 1}\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_yaml_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    name = yaml_file(tmp_path, text)
    (line,) = problems(CLOAKROOM_CONFIG=name)
    assert line.startswith(f"CLOAKROOM_CONFIG: {name} cannot be read")
    assert line.endswith("it is not valid YAML")
    assert "leaky" not in line


@pytest.mark.parametrize("text", ["- a\n- b\n", "sk-leaky-value\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (line,) = problems(CLOAKROOM_CONFIG=yaml_file(tmp_path, text))
    assert "must hold a mapping" in line
    assert "leaky" not in line


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_is_no_settings(tmp_path: Path, text: str) -> None:
    assert load(CLOAKROOM_CONFIG=yaml_file(tmp_path, text)) == load()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cloakroom.yaml"
    path.write_bytes(b"\xff\xfe\x00sk-leaky-value")
    (line,) = problems(CLOAKROOM_CONFIG=str(path))
    assert "leaky" not in line


@pytest.mark.parametrize("name", ["missing.yaml", ""])
def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, name: str) -> None:
    (line,) = problems(CLOAKROOM_CONFIG=str(tmp_path / name))
    assert line.endswith("No such file or directory" if name else "Is a directory")


def test_without_a_file_s_name_none_is_read() -> None:
    assert load(without("CLOAKROOM_CONFIG")) == load(GOOD)
