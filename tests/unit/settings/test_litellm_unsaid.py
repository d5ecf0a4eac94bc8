"""Entries that do not say what they are: LiteLLM serves them, so they are served here, and stop no start."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from app.outbound.entra import entra_installed
from app.settings.litellm.names import is_other_model, kind_of, text_route
from tests.unit.settings.litellm_files import entry, only_deployment, read, refused
from tests.unit.values import OPENAI_KEY

BASE = "https://acme.openai.azure.com"


def beside_realtime(**params: Any) -> tuple[dict[str, Any], str, str]:
    """The values of a file with a realtime entry and one that says nothing; level and text of its note."""
    info = params.pop("model_info", {})
    unsaid = {"model_name": "chat", "litellm_params": params, "model_info": info}
    loaded = yaml.safe_load(entry("openai/gpt-realtime", api_key=OPENAI_KEY))
    loaded["model_list"].append(unsaid)
    values, notes = read(yaml.safe_dump(loaded), {})
    note = next(note for note in notes if note.entry == "model_list entry 2 (chat)")
    return values, note.level, note.text


@pytest.mark.parametrize("deployment", ["voice", "gpt-4o", "o3", "chat"])
@pytest.mark.parametrize("mode", [None, ""])
def test_an_azure_deployment_without_a_mode_is_served_whatever_its_name(
    deployment: str, mode: str | None
) -> None:
    loaded = yaml.safe_load(entry(f"azure/{deployment}", mode=None, api_base=BASE, api_key="k"))
    loaded["model_list"][0]["model_info"] = {"mode": mode}
    values, notes = read(yaml.safe_dump(loaded))
    assert list(values["deployments"].values()) == [
        {"provider": "azure", "model": deployment, "base_url": BASE, "api_key": "k"}
    ]
    assert values["models"].keys() == {"voice", f"azure/{deployment}"}
    assert notes[0].level == "info"
    assert notes[0].text.endswith(
        "since nothing says that it is no realtime model; model_info.mode would say what it is"
    )


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("openai/my-new-realtime-2", {}),
        ("openai/speaker", {}),
        ("openai/speaker", {"api_base": "https://voice.example"}),
        ("speaker", {"custom_llm_provider": "openai"}),
    ],
)
def test_an_openai_entry_is_served_unless_its_model_is_known_for_something_else(
    model: str, more: dict[str, str]
) -> None:
    deployment = only_deployment(entry(model, mode=None, api_key=OPENAI_KEY, **more))
    assert deployment["model"] == model.removeprefix("openai/")


@pytest.mark.parametrize("place", ["litellm_params", "model_info"])
def test_a_known_base_model_decides_about_a_deployment(place: str) -> None:
    loaded = yaml.safe_load(entry("azure/voice", mode=None, api_base=BASE, api_key="k"))
    loaded["model_list"][0].setdefault(place, {})["base_model"] = "azure/gpt-4o"
    assert refused(yaml.safe_dump(loaded))[1] == (
        "model_list entry 1 (voice): left out: its base_model azure/gpt-4o is no realtime model; "
        "if it is one, set model_info.mode: realtime"
    )
    loaded["model_list"][0][place]["base_model"] = "azure/a-model-of-tomorrow"
    assert only_deployment(yaml.safe_dump(loaded))["model"] == "voice"


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/gpt-live-1", "azure/o_series/x"])
def test_the_mode_goes_before_every_name(model: str) -> None:
    assert only_deployment(entry(model, api_base=BASE, api_key=OPENAI_KEY))


def test_entries_that_say_nothing_do_not_take_the_default_away() -> None:
    values, _, _ = beside_realtime(model="azure/gpt-4o", api_base=BASE, api_key="k")
    assert "chat" in values["models"]
    assert values["default_model"] == "voice"


def test_one_entry_alone_is_the_default_though_it_says_nothing_and_of_two_there_is_none() -> None:
    loaded = yaml.safe_load(entry("azure/x", mode=None, name="one", api_base=BASE, api_key="k"))
    assert read(yaml.safe_dump(loaded))[0]["default_model"] == "one"
    loaded["model_list"] += yaml.safe_load(
        entry("azure/y", mode=None, name="two", api_base=BASE, api_key="k")
    )["model_list"]
    assert "default_model" not in read(yaml.safe_dump(loaded))[0]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"api_key": "os.environ/NO_SUCH"},
            "api_key names the environment variable NO_SUCH, which is not set",
        ),
        ({"api_base": None}, "api_base is missing, and AZURE_API_BASE is not set"),
        ({"api_base": "ftp://acme"}, "base_url must be the endpoint of the Azure resource"),
        ({"api_key": "a key"}, "api_key: holds a line break, a space or another character that no key has"),
        ({"model": "azure/two words"}, "model: 1 to 128 printable characters"),
        ({"litellm_credential_name": "gone"}, "litellm_credential_name 'gone' is not in credential_list"),
    ],
)
def test_a_mistake_in_one_is_a_warning_and_the_others_are_served(params: dict[str, Any], said: str) -> None:
    values, level, text = beside_realtime(
        **{"model": "azure/gpt-4o", "api_base": BASE, "api_key": "k", **params}
    )
    assert values["models"].keys() == {"voice", "openai/gpt-realtime"}
    assert (level, text.startswith(f"left out: {said}")) == ("warning", True), text
    assert text.endswith("; correct it, or say with model_info.mode what it is")


def test_one_that_wants_entra_is_left_out_where_azure_identity_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = {"model": "azure/x", "api_base": BASE, "tenant_id": "t", "client_id": "c", "client_secret": "s"}
    assert entra_installed()
    assert "chat" in beside_realtime(**params)[0]["models"]
    monkeypatch.setattr("app.settings.litellm.trial.entra_installed", lambda: False)
    values, level, text = beside_realtime(**params)
    assert "chat" not in values["models"]
    assert level == "warning"
    assert "needs azure-identity, which is not installed" in text


def test_one_with_fields_of_ours_is_meant_for_us_so_its_mistakes_are_refused() -> None:
    loaded = yaml.safe_load(entry("azure/x", mode=None, api_base=BASE, api_key="os.environ/NO_SUCH"))
    loaded["model_list"][0]["model_info"] = {"cloakroom": {"webrtc_filter": False}}
    assert refused(yaml.safe_dump(loaded)) == [
        "model_list entry 1 (voice): api_key names the environment variable NO_SUCH, which is not set"
    ]


def test_a_file_of_which_nothing_else_is_left_is_refused_with_the_mistake() -> None:
    lines = refused(entry("azure/x", mode=None, api_base=BASE, api_key="os.environ/NO_SUCH"))
    assert lines[0] == "model_list: no entry is a realtime model that is served here"
    assert "NO_SUCH, which is not set; correct it" in lines[1]


# Out of LiteLLM's list of models, a name or two of each family and mode.
OTHER_MODELS: Final = [
    "gpt-3.5-turbo",
    "gpt-35-turbo-instruct",
    "gpt-4",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-2024-11-20",
    "gpt-5-pro",
    "gpt-5.4-nano",
    "gpt-6-astra",
    "gpt-4o-mini-tts",
    "gpt-4o-audio-preview",
    "gpt-audio",
    "gpt-audio-1.5",
    "gpt-image-1",
    "gpt-chat-latest",
    "gpt-live-1",
    "gpt-oss-120b",
    "gpt-daybreak-red-latest",
    "gpt-rosalind-research",
    "chatgpt-image-latest",
    "codex-mini",
    "computer-use-preview",
    "o1",
    "o3-mini",
    "o4-mini-deep-research",
    "text-embedding-3-large",
    "text-embedding-ada-002",
    "davinci-002",
    "babbage-002",
    "ada",
    "dall-e-3",
    "tts-1-hd",
    "sora-2-pro",
    "omni-moderation-latest",
    "model-router",
    "ft:gpt-4o-mini-2024-07-18",
    "ft:davinci-002",
    "azure/us/gpt-4o",
    "GPT-4o",
    "azure/standard/1024-x-1024/dall-e-3",
]
# What nobody knows, or what only begins like one that is known.
UNKNOWN_MODELS: Final = [
    "voice",
    "speaker",
    "gpt",
    "gpt-voice",
    "gpt-audiobook",
    "o-voice",
    "o3x",
    "oasis",
    "adam",
    "adaptive-voice",
    "text-voice",
    "sora",
    "llama-3-70b",
    "qwen3-omni",
    "inworld-voice",
    "my-gpt-4o",
    "assistant",
]


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_a_model_of_litellms_list_is_known_for_something_else(name: str) -> None:
    assert kind_of([name]) is None
    assert is_other_model(name)


@pytest.mark.parametrize("name", UNKNOWN_MODELS)
def test_a_name_that_nobody_knows_is_not_taken_for_one_that_is_known(name: str) -> None:
    assert not is_other_model(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-4o-realtime-preview-2024-12-17", "realtime"),
        ("gpt-realtime-2.1-mini", "realtime"),
        ("gpt-realtime-translate", "realtime"),
        ("gpt-realtime-whisper", "realtime"),
        ("gpt-4o-mini-transcribe", "transcription"),
        ("gpt-live-transcribe", "transcription"),
        ("whisper-1", "transcription"),
        ("gpt-4o", None),
    ],
)
def test_a_sign_in_a_name_goes_before_its_family(name: str, kind: str | None) -> None:
    assert kind_of(["prod", name]) == kind


def test_only_a_route_at_the_start_is_litellms() -> None:
    assert text_route("o_series/x") == "o_series/"
    assert text_route("responses/x") == "responses/"
    assert text_route("my-responses/x") is None
    assert text_route("responses") is None
