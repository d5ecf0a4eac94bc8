"""LiteLLM's rules: which entries are realtime models, their names and shares, the master key."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.settings.litellm_files import ENVIRONMENT, MASTER_KEY, entry, only_deployment, read, refused
from tests.unit.values import OPENAI_KEY

BASE = "https://acme.openai.azure.com"


def left_out(text: str) -> str:
    """What is said of the first entry, which is left out; the second one keeps the file good."""
    more = yaml.safe_load(entry("openai/gpt-realtime", name="other"))["model_list"]
    loaded = yaml.safe_load(text)
    values, notes = read(yaml.safe_dump({"model_list": loaded["model_list"] + more}))
    assert values["models"].keys() == {"other", "openai/gpt-realtime"}
    (note,) = [note for note in notes if note.entry.startswith("model_list entry 1")]
    return note.text


@pytest.mark.parametrize(
    "version", ["2024-10-01-preview", "2025-04-01-preview", "preview", "os.environ/NOT_SET"]
)
def test_no_api_version_chooses_azures_preview(version: str) -> None:
    text = entry("azure/voice", api_base=BASE, api_key="k", api_version=version)
    deployment = only_deployment(text)
    assert deployment == {"provider": "azure", "model": "voice", "base_url": BASE, "api_key": "k"}


def test_the_preview_is_chosen_beside_the_entry_in_model_info() -> None:
    loaded = yaml.safe_load(entry("azure/voice", api_base=BASE, api_version="2024-10-01-preview"))
    own = {"provider": "azure-preview", "entra": {"tenant_id": "os.environ/ENTRA_TENANT"}}
    loaded["model_list"][0]["model_info"]["cloakroom"] = own
    assert only_deployment(yaml.safe_dump(loaded)) == {
        "provider": "azure-preview",
        "model": "voice",
        "base_url": BASE,
        "entra": {"tenant_id": ENVIRONMENT["ENTRA_TENANT"]},
    }


@pytest.mark.parametrize(
    ("model", "mode", "name", "base_model"),
    [
        ("openai/gpt-4o-realtime-preview", None, "voice", None),
        ("azure/prod", None, "azure-Realtime", None),
        ("azure/prod", None, "voice", "azure/gpt-realtime-mini"),
        ("azure/prod", "realtime", "voice", None),
    ],
    ids=["upstream", "alias", "base-model", "mode"],
)
def test_a_mode_or_a_name_makes_a_realtime_model(
    model: str, mode: str | None, name: str, base_model: str | None
) -> None:
    loaded = yaml.safe_load(entry(model, mode=mode, name=name, api_base=BASE, api_key="k"))
    if base_model:
        loaded["model_list"][0]["model_info"] = {"base_model": base_model}
    assert name in read(yaml.safe_dump(loaded))[0]["models"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry("azure/realtime-index", mode="embedding"), "its model_info.mode is embedding"),
        (entry("gemini/gemini-live"), "the provider 'gemini' is not served"),
        (entry("voice", custom_llm_provider="xai"), "the provider 'xai' is not served"),
        (entry("openai/*", name="openai/*"), "it is a wildcard"),
        (entry("openai/gpt-4o", mode=None), "its model gpt-4o is no realtime model"),
        (entry("gpt-4o", mode=None), "its model gpt-4o is no realtime model"),
        (entry("claude-opus", mode=None), "neither a provider nor 'realtime' stands in its name"),
        (entry("azure/*", mode=None, name="azure/*"), "it is a wildcard"),
        (entry("azure/voice", mode=None, base_model="gpt-4o"), "its base_model gpt-4o is no realtime model"),
        (entry("azure/voice", api_base=BASE, azure_ad_token="ey.J.x"), "azure_ad_token is a token that ends"),
    ],
)
def test_what_is_no_realtime_model_of_ours_is_left_out_with_its_reason(text: str, said: str) -> None:
    assert left_out(text).startswith(f"left out: {said}")


def shared(*entries: dict[str, Any]) -> Any:
    """What the model ``voice`` becomes with an entry for each of these parameters."""
    raw = [
        {
            "model_name": "voice",
            "litellm_params": {
                "model": "azure/v",
                "api_base": f"https://{name}.example",
                "api_key": "k",
                **params,
            },
            "model_info": {"mode": "realtime", "id": name},
        }
        for name, params in zip("abc", entries, strict=False)
    ]
    values, notes = read(yaml.safe_dump({"model_list": raw}))
    assert not [note for note in notes if note.text.startswith("not used")]
    return values["models"]["voice"]


def test_deployments_of_one_name_without_a_share_are_a_plain_list() -> None:
    assert shared({}, {}) == ["a", "b"]


@pytest.mark.parametrize(
    ("entries", "shares"),
    [
        # Weight goes before requests, requests before tokens a minute.
        (({"weight": 3, "rpm": 9}, {"weight": 1}), [(0, 3), (0, 1)]),
        (({"rpm": 60, "tpm": 1}, {"rpm": 30, "tpm": 500}), [(0, 60), (0, 30)]),
        (({"tpm": 200_000}, {"tpm": 50_000}, {"tpm": 10}), [(0, 1000), (0, 250), (0, 1)]),
        (({"rpm": 5}, {}), [(0, 5), (0, 1)]),
        (({"order": 7}, {"order": 2}, {}), [(1, 1), (0, 1), (2, 1)]),
        (({"order": 1, "weight": 2}, {"order": 1}), [(0, 2), (0, 1)]),
        # What is no number says nothing.
        (({"weight": "os.environ/W", "rpm": 2, "order": True}, {"rpm": -1}), [(0, 2), (0, 1)]),
    ],
)
def test_deployments_of_one_name_carry_the_order_and_the_share_that_the_file_gives_them(
    entries: tuple[dict[str, Any], ...], shares: list[tuple[int, int]]
) -> None:
    assert shared(*entries) == {
        "deployments": [
            {"deployment": name, "priority": priority, "weight": weight}
            for name, (priority, weight) in zip("abc", shares, strict=False)
        ]
    }


def test_deployment_names_do_not_depend_on_the_order_of_the_file() -> None:
    entries = [
        {"model_name": "voice", "litellm_params": {"model": "azure/v", "api_base": base, "api_key": "k"}}
        for base in (
            "https://user:pw-9fK2@east.openai.azure.com",
            "west.openai.azure.com/openai",
            "http://h:80",
        )
    ]
    for one in entries:
        one["model_info"] = {"mode": "realtime"}
    forward, _ = read(yaml.safe_dump({"model_list": entries}))
    backward, _ = read(yaml.safe_dump({"model_list": entries[::-1]}))
    assert forward["deployments"] == backward["deployments"]
    assert set(forward["deployments"]) == {"azure-east-v", "azure-west-v", "azure-h-80-v"}


def test_a_long_name_of_a_deployment_keeps_what_tells_it_from_others() -> None:
    longer = "https://gateway.example/" + "a" * 60
    names = {
        name
        for base in (f"{longer}/one/v1", f"{longer}/two/v1")
        for name in read(entry("openai/gpt-realtime", api_base=base, api_key="k"))[0]["deployments"]
    }
    assert len(names) == 2
    assert {len(name) for name in names} == {64}


def test_an_alias_that_is_a_star_opens_nothing() -> None:
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY))
    loaded["router_settings"] = {"model_group_alias": {"*": "voice"}}
    values, notes = read(yaml.safe_dump(loaded))
    assert "*" not in values["models"]
    assert "'*' is not taken: it is a wildcard" in [note.text for note in notes]


def test_one_model_alone_is_what_a_request_without_a_model_means() -> None:
    values, _ = read(entry("openai/gpt-realtime", api_key=OPENAI_KEY))
    assert values["default_model"] == "voice"


def test_a_transcription_model_beside_it_does_not_take_the_default_away() -> None:
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY))
    loaded["model_list"] += yaml.safe_load(entry("gpt-4o-transcribe", mode=None, name="words"))["model_list"]
    values, _ = read(yaml.safe_dump(loaded))
    assert values["models"].keys() == {"voice", "openai/gpt-realtime", "words", "gpt-4o-transcribe"}
    assert values["default_model"] == "voice"


def test_the_process_goes_before_the_files_environment_variables() -> None:
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key="os.environ/K"))
    loaded["environment_variables"] = {"K": "of-the-file"}
    assert only_deployment(yaml.safe_dump(loaded), {})["api_key"] == "of-the-file"
    assert only_deployment(yaml.safe_dump(loaded), {"K": "of-the-process"})["api_key"] == "of-the-process"


@pytest.mark.parametrize(
    ("general", "environ", "said"),
    [
        ({"master_key": "sk-1234"}, {}, "no client is made of it: the key is weak"),
        (
            {"master_key": "os.environ/NO_SUCH"},
            {},
            "no client is made of it: general_settings: master_key names the environment variable NO_SUCH",
        ),
        ({}, {"LITELLM_MASTER_KEY": MASTER_KEY}, "is the key of the client 'master'"),
    ],
    ids=["weak", "not-set", "usual-variable"],
)
def test_the_master_key_is_a_client_or_a_note_says_what_to_do(
    general: dict[str, str], environ: dict[str, str], said: str
) -> None:
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY)) | {"general_settings": general}
    values, notes = read(yaml.safe_dump(loaded), environ)
    (note,) = [note for note in notes if note.entry == "general_settings.master_key"]
    assert note.text.startswith(said)
    assert ("clients" in values) == (note.level == "info")
    assert note.level == "info" or "CLOAKROOM_API_KEYS" in note.text


def test_a_variable_of_the_file_that_only_names_itself_is_not_set() -> None:
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key="os.environ/K"))
    loaded["environment_variables"] = {"K": "os.environ/K"}
    assert refused(yaml.safe_dump(loaded), {}) == [
        "model_list entry 1 (voice): api_key names the environment variable K, which is not set"
    ]


def test_a_provider_that_is_named_twice_is_named_once() -> None:
    text = entry("openai/gpt-realtime", custom_llm_provider="openai", api_key=OPENAI_KEY)
    assert only_deployment(text)["model"] == "gpt-realtime"


def test_a_name_of_the_file_goes_before_an_upstream_form() -> None:
    loaded = yaml.safe_load(entry("azure/voice", name="openai/gpt-realtime", api_base=BASE, api_key="k"))
    loaded["model_list"] += yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY))["model_list"]
    values, _ = read(yaml.safe_dump(loaded))
    assert values["models"]["openai/gpt-realtime"] == "azure-acme-voice"
