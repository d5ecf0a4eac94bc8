"""The providers' own usual names alone make a one-provider start."""

from __future__ import annotations

import pytest

from app.models import USUAL_MODEL
from tests.unit.settings.environments import AZURE, OPENAI, OWN, load, problems


def test_an_openai_key_alone_makes_a_deployment_that_takes_any_model() -> None:
    settings = load()
    (deployment,) = settings.deployments.values()
    assert (deployment.provider, deployment.base_url) == ("openai", None)
    assert settings.models == {"*": "openai", USUAL_MODEL: "openai"}
    assert settings.default_model == USUAL_MODEL


@pytest.mark.parametrize("base_url", ["", "https://eu.api.openai.com/v1"])
def test_openais_base_url_is_taken_where_it_is_set(base_url: str) -> None:
    assert load(OPENAI_BASE_URL=base_url).deployments["openai"].base_url == (base_url or None)


def test_azures_three_names_alone_are_enough() -> None:
    settings = load({**OWN, **AZURE})
    deployment = settings.deployments["azure"]
    assert (deployment.provider, deployment.model) == ("azure", "voice-prod")
    assert settings.models == {"voice-prod": "azure", USUAL_MODEL: "azure", "gpt-realtime": "azure"}
    assert settings.default_model == USUAL_MODEL


def test_with_both_the_azure_deployment_has_its_name_and_openai_everything_else() -> None:
    settings = load({**OWN, **OPENAI, **AZURE})
    assert settings.models == {"voice-prod": "azure", USUAL_MODEL: "openai", "*": "openai"}


@pytest.mark.parametrize("name", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT_NAME"])
def test_half_of_azures_names_are_not_enough_and_the_missing_one_is_named(name: str) -> None:
    (line,) = problems({key: value for key, value in {**OWN, **AZURE}.items() if key != name})
    assert line.startswith(f"{name} missing")


def test_no_provider_at_all_says_what_to_set() -> None:
    (line,) = problems(OWN)
    assert "OPENAI_API_KEY" in line
    assert "AZURE_OPENAI_ENDPOINT" in line
    assert "CLOAKROOM_CONFIG" in line


def test_own_aliases_for_the_usual_deployment_bring_no_default_model_with_them() -> None:
    settings = load(CLOAKROOM_MODELS='{"voice": "openai"}')
    assert (settings.models, settings.default_model) == ({"voice": "openai"}, None)


@pytest.mark.parametrize("key", ["sk-with-line-break\n", "  sk-with-spaces-around "])
def test_the_line_break_of_a_mounted_secret_is_dropped(key: str) -> None:
    found = load(OPENAI_API_KEY=key).deployments["openai"].api_key
    assert found is not None
    assert found.get_secret_value() == key.strip()


@pytest.mark.parametrize("key", ["sk-two\nlines", "sk-two words", "sk-ключ", "sk-\x07bell", " ", "\n"])
def test_a_key_that_no_header_takes_is_refused_at_start(key: str) -> None:
    (line,) = problems(OPENAI_API_KEY=key)
    assert line.startswith("deployments.openai")
    assert "sk-" not in line
