"""Mistakes in LiteLLM's file: each is refused with its entry, its key and what is wrong, and no secret."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.settings.litellm_files import entry, refused
from tests.unit.values import AZURE_KEY, OPENAI_KEY

BASE = "https://acme.openai.azure.com"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            entry("openai/gpt-realtime", api_key="os.environ/NO_SUCH"),
            "model_list entry 1 (voice): api_key names the environment variable NO_SUCH, which is not set",
        ),
        (
            entry("os.environ/NO_SUCH"),
            "model_list entry 1 (voice): litellm_params.model names the environment variable NO_SUCH, "
            "which is not set",
        ),
        (
            entry("azure/voice", api_key=AZURE_KEY),
            "model_list entry 1 (voice): api_base is missing, and AZURE_API_BASE is not set",
        ),
        (
            entry("azure/voice", api_base=BASE, tenant_id="t", client_id="c"),
            "model_list entry 1 (voice): client_secret missing beside the other Entra fields",
        ),
        (
            entry("azure/voice", litellm_credential_name="gone"),
            "model_list entry 1 (voice): litellm_credential_name 'gone' is not in credential_list",
        ),
        (
            "model_list: [{model_name: voice, litellm_params: {api_key: k}}]",
            "model_list entry 1 (voice): model_name or litellm_params.model is missing",
        ),
        ("model_list: [voice]", "model_list entry 1: must be a mapping with model_name and litellm_params"),
        (
            "model_list: [{model_name: voice, litellm_params: openai/gpt-realtime}]",
            "model_list entry 1 (voice): litellm_params and model_info must be mappings",
        ),
        (
            "model_list: [{model_name: v, litellm_params: {model: openai/r}, "
            "model_info: {mode: realtime, cloakroom: azure-preview}}]",
            "model_list entry 1 (v): model_info.cloakroom must be a mapping of deployment fields",
        ),
        (
            "model_list:\n"
            "- &one {model_name: v, litellm_params: {model: openai/r, api_key: k}, "
            "model_info: {mode: realtime, id: eu}}\n"
            "- *one",
            "model_list entry 2 (v): model_info.id 'eu' appears twice",
        ),
        (
            "model_list: {voice: {}}",
            "model_list: must be a list of entries with model_name and litellm_params",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_entry_and_its_key(text: str, line: str) -> None:
    assert refused(text) == [line]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    entries = [
        {
            "model_name": name,
            "litellm_params": {"model": "openai/gpt-realtime", "api_key": f"os.environ/{name}"},
        }
        for name in ("ONE", "TWO")
    ]
    lines = refused(yaml.safe_dump({"model_list": entries}))
    assert [line.split(":")[0] for line in lines] == ["model_list entry 1 (ONE)", "model_list entry 2 (TWO)"]


def test_a_key_behind_the_prefix_of_a_variable_is_not_shown() -> None:
    (line,) = refused(entry("openai/gpt-realtime", api_key=f"os.environ/{OPENAI_KEY}"))
    assert line.startswith("model_list entry 1 (voice): api_key names the environment variable [redacted]")


@pytest.mark.parametrize("model_list", ["", "[{model_name: chat, litellm_params: {model: openai/gpt-4o}}]"])
def test_a_file_without_a_realtime_model_is_refused_with_what_was_left_out(model_list: str) -> None:
    lines = refused(f"model_list: {model_list}")
    assert lines[0] == "model_list: no entry is a realtime model that is served here"
    assert [line.split(":")[0] for line in lines[1:]] == (["model_list entry 1 (chat)"] if model_list else [])


def test_a_file_whose_models_are_elsewhere_is_refused_in_litellms_words() -> None:
    assert refused("{include: [models.yaml], litellm_settings: {drop_params: true}}") == [
        "model_list: no entry is a realtime model that is served here",
        "include: is not followed: put the included model_list into this file",
    ]
