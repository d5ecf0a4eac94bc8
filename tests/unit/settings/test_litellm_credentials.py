"""Where an entry of LiteLLM's file gets its credential and its base URL."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.settings.litellm_files import ENTRA_SECRET, entry, only_deployment, read, refused
from tests.unit.values import OPENAI_KEY

BASE = "https://acme.openai.azure.com"
ENTRA = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": ENTRA_SECRET}


@pytest.mark.parametrize(
    ("params", "environ", "expected"),
    [
        ({"api_key": "k"}, {"AZURE_API_KEY": "other"}, {"api_key": "k"}),
        ({"api_key": "k", **ENTRA}, {}, {"api_key": "k"}),
        (ENTRA, {"AZURE_API_KEY": "other"}, {"entra": {"kind": "client_secret", **ENTRA}}),
        ({}, {"AZURE_API_KEY": "k"}, {"api_key": "k"}),
        ({}, {"AZURE_OPENAI_API_KEY": "k"}, {"api_key": "k"}),
        (
            {},
            {f"AZURE_{name.upper()}": value for name, value in ENTRA.items()},
            {"entra": {"kind": "client_secret", **ENTRA}},
        ),
        ({"azure_ad_token": "oidc/azure/"}, {}, {"entra": {"kind": "workload_identity"}}),
        ({"api_key": ""}, {"AZURE_API_KEY": "k"}, {"api_key": "k"}),
    ],
    ids=["key", "key-and-entra", "entra", "env", "env-openai", "env-entra", "workload", "empty-key"],
)
def test_an_azure_entry_signs_in_as_litellm_would(
    params: dict[str, str], environ: dict[str, str], expected: dict[str, Any]
) -> None:
    deployment = only_deployment(entry("azure/voice", api_base=BASE, **params), environ)
    assert {key: deployment[key] for key in ("api_key", "entra") if key in deployment} == expected


def test_entra_fields_beside_a_key_are_said_not_to_be_used() -> None:
    _, notes = read(entry("azure/voice", api_base=BASE, api_key="k", **ENTRA))
    assert "the Entra fields are not used, since api_key is set" in [note.text for note in notes]


def test_without_any_credential_the_machine_signs_in_only_where_the_file_says_so() -> None:
    loaded = yaml.safe_load(entry("azure/voice", api_base=BASE))
    loaded["litellm_settings"] = {"enable_azure_ad_token_refresh": True}
    values, notes = read(yaml.safe_dump(loaded), {})
    assert values["deployments"]["azure-acme-voice"]["entra"] == {"kind": "default"}
    assert not [note for note in notes if note.entry == "litellm_settings"]
    assert refused(entry("azure/voice", api_base=BASE), {}) == [
        "model_list entry 1 (voice): there is no api_key and no tenant_id, client_id and client_secret, "
        "and AZURE_API_KEY is not set"
    ]


@pytest.mark.parametrize(
    ("base", "environ", "expected"),
    [
        (None, {}, None),
        (None, {"OPENAI_API_BASE": "https://proxy.example"}, "https://proxy.example/v1"),
        ("https://api.openai.com", {}, "https://api.openai.com/v1"),
        (
            "https://api.openai.com/v1/",
            {"OPENAI_BASE_URL": "https://no.example"},
            "https://api.openai.com/v1",
        ),
        ("https://acme.services.ai.azure.com/openai/v1", {}, "https://acme.services.ai.azure.com/openai/v1"),
    ],
)
def test_openais_base_may_come_without_its_version(
    base: str | None, environ: dict[str, str], expected: str | None
) -> None:
    text = entry("openai/gpt-realtime", api_key=OPENAI_KEY, **({"api_base": base} if base else {}))
    assert only_deployment(text, environ)["base_url"] == expected


def test_azures_base_may_come_from_the_usual_variable_or_under_its_other_name() -> None:
    environ = {"AZURE_API_BASE": BASE}
    assert only_deployment(entry("azure/voice", api_key="k"), environ)["base_url"] == BASE
    assert only_deployment(entry("azure/voice", api_key="k", base_url=BASE), {})["base_url"] == BASE


def test_the_entrys_own_values_go_before_those_of_its_shared_credential() -> None:
    loaded = yaml.safe_load(entry("azure/voice", api_base=BASE, litellm_credential_name="north"))
    values = {"api_base": "https://north.openai.azure.com", "api_key": "k"}
    loaded["credential_list"] = [{"credential_name": "north", "credential_values": values}]
    deployment = only_deployment(yaml.safe_dump(loaded))
    assert (deployment["base_url"], deployment["api_key"]) == (BASE, "k")
